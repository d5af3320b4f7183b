"""Tables for manyviews. Names are imported when they are first used: the plugin is looked up at every start."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from manyviews_tabular.sklearn import TablePretrainer
    from manyviews_tabular.source import TableSource

_HOME = {"TablePretrainer": "manyviews_tabular.sklearn", "TableSource": "manyviews_tabular.source"}
__all__ = ["TablePretrainer", "TableSource"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'manyviews_tabular' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
