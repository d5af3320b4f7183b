"""Two processes over gloo: after averaging the gradients, the result is that of one process on the joined batch.

The two processes are this file run as a script.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.testing import assert_close

from manyviews import distributed
from manyviews.mask import Mask
from manyviews.objective import Branch, Objective
from manyviews.testing.apart import as_two
from manyviews.view import View
from manyviews_tabular.batch import TableBatch
from manyviews_tabular.source import TableSource
from manyviews_tabular.transformer import TableTransformer
from manyviews_tabular.values import Values
from manyviews_tabular.vime import Corruption, Vime, VimeCorruption

SHARES = (slice(0, 5), slice(5, 12))
"""Rows of each process: not equally many, and with different shares of hidden and missing cells."""
OBJECTIVES = {
    "values": Values,
    "values mse": lambda: Values(numbers="mse"),
    "values decoder": lambda: Values(depth=1, width=8, heads=2),
    "vime": Vime,
}


def table() -> TableSource:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"x": random.normal(size=40), "y": random.normal(size=40), "c": random.choice(["a", "b", "c"], 40)})
    frame.loc[5:9, "x"] = np.nan
    return TableSource(path=frame)


def step(name: str, source: TableSource) -> tuple[Objective, Branch]:
    torch.manual_seed(0)
    objective = OBJECTIVES[name]()
    encoder = TableTransformer(source.spec, width=8, depth=1, heads=2, hide="replace").double()
    return objective, Branch(encoder, nn.Identity(), objective.predictor(encoder, 8).double(), "sample")


def view(objective: Objective, student: Branch, source: TableSource) -> View:
    """Of all rows."""
    batch = source.batch(np.arange(12))
    layout = student.encoder.layout(batch)
    generator = torch.Generator().manual_seed(1)
    if isinstance(objective, Vime):
        return VimeCorruption()(batch, layout, generator)[0]
    return View(
        batch, layout, Mask((torch.rand(12, 3, generator=generator) < torch.linspace(0.2, 0.8, 12)[:, None]).reshape(1, -1))
    )


def part(whole: View, rows: slice, student: Branch) -> View:
    """Of some rows."""
    batch = cut(whole.batch, rows)
    hidden = whole.hidden and Mask(whole.hidden.where.reshape(12, 3)[rows].reshape(1, -1))
    target = whole.target and Corruption(whole.target.changed[rows], cut(whole.target.original, rows))
    return replace(whole, batch=batch, layout=student.encoder.layout(batch), hidden=hidden, target=target)


def cut(batch: TableBatch, rows: slice) -> TableBatch:
    return TableBatch(batch.values[rows], batch.missing[rows], batch.codes[rows])


def gradients(objective: Objective, student: Branch, shown: View) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    value = objective((shown,), student, None, torch.Generator()).value
    value.backward()
    return value.detach(), {name: p.grad for name, p in student.named_parameters() if p.grad is not None}


def averaged(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.clone()
    dist.all_reduce(tensor)
    return tensor / dist.get_world_size()


def main(number: int, meeting: Path) -> None:
    torch.set_num_threads(1)
    source = table()
    expected = {}
    for name in OBJECTIVES:
        objective, student = step(name, source)
        expected[name] = gradients(objective, student, view(objective, student, source))
    dist.init_process_group("gloo", init_method=meeting.as_uri(), rank=number, world_size=2)
    for name, (value, wanted) in expected.items():
        objective, student = step(name, source)
        own, found = gradients(objective, student, part(view(objective, student, source), SHARES[number], student))
        assert_close(averaged(own), value, msg=lambda text, name=name: f"{name}: {text}")
        assert found.keys() == wanted.keys()
        for key, gradient in found.items():
            assert_close(averaged(gradient), wanted[key], msg=lambda text, name=name, key=key: f"{name}, {key}: {text}")
    distributed.close()


@pytest.mark.slow
def test_two_processes_are_one(tmp_path: Path) -> None:
    as_two([__file__, str(tmp_path / "meeting")])


if __name__ == "__main__":
    main(int(sys.argv[2]), Path(sys.argv[1]))
