"""`train.compile`: sizes change from batch to batch, and compilation comes to an end.

In a process of its own, which is this file run as a script: what checks shapes in tests cannot be traced.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from manyviews.engine.pretrain import pretrain
from manyviews.engine.trainer import Trainer
from manyviews.recipe.load import load_recipe
from manyviews.testing.fixtures import TOY
from manyviews.view import View
from manyviews.views.set_mask import SetMask

JEPA = {
    "objective": {"name": "jepa", "width": 8, "heads": 2, "depth": 1, "predict": "together"},
    "views": {"name": "set_mask", "context": [0.2, 0.5], "asked": [0.2, 0.5]},
    "data.length": 16,
}


@pytest.mark.slow
def test_changing_set_sizes_do_not_compile_again(toy_domain: None, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, __file__, str(tmp_path)],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr
    counted = json.loads(result.stdout.splitlines()[-1])
    graphs, sizes = counted["graphs"], counted["sizes"]
    assert graphs[0] >= 3, "encoder, predictor and teacher are compiled"
    assert graphs[-1] <= graphs[0] + 1, f"again where the watch looks, without gradients, and then no more: {graphs}"
    assert len({str(size) for size in sizes}) >= 4, f"sizes differ: {sizes}"


def main(folder: str) -> None:
    """Traced as for any backend, and run as it stands: no compiler is needed, and graphs are counted alike."""
    from torch._dynamo.utils import counters

    torch.set_num_threads(1)
    compile_, step, mask = nn.Module.compile, Trainer._step, SetMask.forward
    graphs: list[int] = []
    sizes: list[Any] = []

    def traced(self: nn.Module, **options: Any) -> None:
        compile_(self, backend="eager", **options)

    def noted(self: SetMask, *arguments: Any) -> tuple[View, ...]:
        views = mask(self, *arguments)
        sizes.append([(view.hidden.each, view.asked.each) for view in views])
        return views

    def counted(self: Trainer, batches: Any) -> None:
        step(self, batches)
        graphs.append(counters["stats"]["unique_graphs"])

    SetMask.forward = noted  # type: ignore[method-assign]
    nn.Module.compile = traced  # type: ignore[method-assign]
    Trainer._step = counted  # type: ignore[method-assign]
    train = {"compile": True, "steps": 16, "watch_every": 4, "checkpoint_every": None, "folder": folder}
    pretrain(load_recipe(TOY, {**JEPA, "train": train}))
    print(json.dumps({"graphs": graphs, "sizes": sizes}))


if __name__ == "__main__":
    main(sys.argv[1])
