"""CCA-SSG against the paper's equation written out in loops."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch
from torch.testing import assert_close

from manyviews.objectives.cca_ssg import decorrelation, invariance, unit_columns


def loss(z: torch.Tensor, weight: float = 0.1) -> torch.Tensor:
    columns = unit_columns(z)
    return invariance(columns) + weight * decorrelation(columns)


def longhand_columns(z: torch.Tensor) -> list[list[float]]:
    """(Z - mean) / (deviation * sqrt(units)), column by column."""
    units, width = z.shape
    rows = [[0.0] * width for _ in range(units)]
    for j in range(width):
        mean = sum(float(z[n, j]) for n in range(units)) / units
        deviation = math.sqrt(sum((float(z[n, j]) - mean) ** 2 for n in range(units)) / units)
        for n in range(units):
            rows[n][j] = (float(z[n, j]) - mean) / (deviation * math.sqrt(units))
    return rows


def longhand(a: torch.Tensor, b: torch.Tensor, weight: float) -> float:
    """Equation 4 of two views."""
    (units, width), one, two = a.shape, longhand_columns(a), longhand_columns(b)
    value = sum((one[n][j] - two[n][j]) ** 2 for n in range(units) for j in range(width))
    for z in (one, two):
        for i in range(width):
            for j in range(width):
                value += weight * (sum(z[n][i] * z[n][j] for n in range(units)) - float(i == j)) ** 2
    return value


def drawn(views: int = 2, units: int = 7, width: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(views, units, width, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("views", [2, 3])
def test_longhand(views: int) -> None:
    z = drawn(views)
    each = [longhand(z[one], z[two], 0.1) for one, two in combinations(range(views), 2)]
    assert_close(loss(z), torch.tensor(sum(each) / len(each), dtype=torch.float64))


def test_of_a_wide_pair_in_single_precision() -> None:
    z = drawn(2, 256, 256)
    assert_close(loss(z.float()).double(), loss(z), rtol=1e-5, atol=0)


def test_invariance_is_what_the_correlations_leave_open() -> None:
    """|Z_A - Z_B|^2 = 2 width - 2 trace(Z_A^T Z_B): the columns have length 1."""
    one, two = unit_columns(drawn(units=50))
    assert_close(invariance(torch.stack([one, two])), 2 * 4 - 2 * (one.mT @ two).trace())


def test_shift_and_scale_change_nothing() -> None:
    z = drawn()
    assert_close(loss(z * torch.tensor([3.0, 0.1, 7.0, 1.0], dtype=torch.float64) - 2), loss(z))


def test_small_embeddings_are_standardised_too() -> None:
    assert_close(loss(1e-3 * drawn()), loss(drawn()), rtol=1e-3, atol=0)


def test_equal_and_decorrelated_views_cost_nothing() -> None:
    signs = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
    assert_close(loss(torch.stack([signs, signs])), torch.zeros((), dtype=torch.float64))


def test_at_collapse_only_the_decorrelation_is_left_and_gradients_are_finite() -> None:
    z = torch.ones(2, 6, 5, requires_grad=True)
    value = loss(z)
    value.backward()
    assert_close(value.detach(), torch.tensor(0.1 * 2 * 5))
    assert z.grad.isfinite().all()


def test_gradient() -> None:
    assert torch.autograd.gradcheck(loss, drawn(3, 5, 3).requires_grad_())
