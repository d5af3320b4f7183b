"""Numbers in pieces."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from manyviews_tabular.piecewise import PiecewiseLinear, pieces
from manyviews_tabular.source import TableSource


@pytest.fixture
def source():
    random = np.random.default_rng(0)
    many = np.r_[np.zeros(300), random.lognormal(size=200)]
    return TableSource(path=pd.DataFrame({"few": random.integers(0, 3, 500) * 1.5, "many": many, "flag": many > 0}))


def longhand(value: float, ends: list[float]) -> list[float]:
    """Equation 1 of the paper, between the outer ends."""
    passed = []
    for low, high in pairwise(ends):
        passed.append(0.0 if value < low else 1.0 if value >= high else (value - low) / (high - low))
    return passed


def test_the_encoding_is_equation_1(source):
    torch.manual_seed(0)
    layer = PiecewiseLinear(source.spec, 5).double()
    batch = source.batch(np.arange(0, 500, 7))
    found = layer(batch)
    for j, column in enumerate(source.spec.numeric):
        outer = column.scaling(np.array([column.minimum, column.maximum]))
        ends = np.unique(np.float32([outer[0], *column.bins, outer[1]])).tolist()
        for row in range(len(batch)):
            share = torch.tensor(longhand(batch.values[row, j].item(), ends), dtype=torch.float64)
            assert_close(found[row, j], share @ layer.weight[j, : len(share)], atol=1e-5, rtol=1e-5)


def test_each_of_few_values_is_a_step_of_its_own(source):
    low, slope = pieces(source.spec)
    assert (slope[0] > 0).sum() == 2
    values = torch.from_numpy(np.unique(source.batch(np.arange(500)).values[:, 0]))
    passed = ((values[:, None] - low[0]) * slope[0]).clamp(0, 1)[:, :2]
    assert_close(passed, torch.tensor([[0.0, 0], [1, 0], [1, 1]]))


def test_beyond_the_training_rows_a_number_is_the_outermost_one(source):
    layer = PiecewiseLinear(source.spec, 5)
    batch = source.batch(np.arange(500))
    least, largest = batch.values.min(0).values, batch.values.max(0).values
    ends = type(batch)(torch.stack([least, largest]), batch.missing[:2], batch.codes[:2])
    beyond = type(batch)(torch.stack([least - 1, largest + 1]), batch.missing[:2], batch.codes[:2])
    assert_close(layer(beyond), layer(ends))


def test_a_linear_probe_sees_a_threshold_in_it(source):
    """Which no line in the number shows."""
    values = source.batch(np.arange(500)).values[:, 1]
    low, slope = pieces(source.spec)
    passed = ((values[:, None] - low[1]) * slope[1]).clamp(0, 1)
    wanted = (values > values.median()).float() * (values < values.quantile(0.9)).float()

    def error(x: torch.Tensor) -> float:
        x = torch.cat([x, torch.ones(len(x), 1)], dim=1).double()
        return float(
            (x @ torch.linalg.lstsq(x, wanted[:, None].double(), driver="gelsd").solution - wanted[:, None]).square().mean()
        )

    assert error(passed) < 0.2 * error(values[:, None])


def test_numbers_are_needed_for_pieces_but_not_to_build_them():
    source = TableSource(path=pd.DataFrame({"c": list("abab")}))
    assert PiecewiseLinear(source.spec, 5)(source.batch(np.arange(4))).shape == (4, 0, 5)
