"""manyviews: self-supervised pretraining for any kind of data.

Names are imported when they are first used, so that `import manyviews` costs nothing of what is not needed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from manyviews.batch import Batch
    from manyviews.domain import Domain
    from manyviews.encoder import Encoder
    from manyviews.encoding import Encoding
    from manyviews.engine.load import Trained, load_trained
    from manyviews.engine.pretrain import pretrain
    from manyviews.engine.run import Run
    from manyviews.errors import UserError
    from manyviews.finetuning.study import finetune
    from manyviews.hookspecs import hookimpl
    from manyviews.layout import Layout
    from manyviews.lengths import Lengths
    from manyviews.mask import Mask
    from manyviews.objective import Branch, Loss, Objective
    from manyviews.recipe.load import load_recipe
    from manyviews.source import Labels, Pairs, Source, Spec
    from manyviews.traits import Trait
    from manyviews.view import View, ViewGenerator

_HOMES = {
    "manyviews.batch": ("Batch",),
    "manyviews.domain": ("Domain",),
    "manyviews.encoder": ("Encoder",),
    "manyviews.encoding": ("Encoding",),
    "manyviews.engine.load": ("Trained", "load_trained"),
    "manyviews.engine.pretrain": ("pretrain",),
    "manyviews.engine.run": ("Run",),
    "manyviews.errors": ("UserError",),
    "manyviews.finetuning.study": ("finetune",),
    "manyviews.hookspecs": ("hookimpl",),
    "manyviews.layout": ("Layout",),
    "manyviews.lengths": ("Lengths",),
    "manyviews.mask": ("Mask",),
    "manyviews.objective": ("Branch", "Loss", "Objective"),
    "manyviews.recipe.load": ("load_recipe",),
    "manyviews.source": ("Labels", "Pairs", "Source", "Spec"),
    "manyviews.traits": ("Trait",),
    "manyviews.view": ("View", "ViewGenerator"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Batch", "Branch", "Domain", "Encoder", "Encoding", "Labels", "Layout", "Lengths", "Loss", "Mask",
    "Objective", "Pairs", "Run", "Source", "Spec", "Trained", "Trait", "UserError", "View", "ViewGenerator", "finetune",
    "hookimpl", "load_recipe", "load_trained", "pretrain",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from manyviews.plugins.versions import core_version

        return core_version()
    if name not in _HOME:
        raise AttributeError(f"module 'manyviews' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
