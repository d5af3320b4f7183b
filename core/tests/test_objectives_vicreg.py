"""VICReg against the paper's formulas written out in loops, and against a number that tells libraries apart."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from manyviews.objectives.vicreg import covariance, invariance, variance


def correlated(units: int = 256, width: int = 256) -> torch.Tensor:
    """The seeded pair of views that the reference values were computed on."""
    generator = torch.Generator().manual_seed(0)
    one, noise = torch.randn(units, width, generator=generator), torch.randn(units, width, generator=generator)
    return torch.stack([one, 0.8 * one + 0.6 * noise])


def test_reference_value() -> None:
    z = correlated()
    loss = 25 * invariance(z) + 25 * variance(z).mean() + covariance(z).sum()
    assert_close(loss.double(), torch.tensor(12.542815, dtype=torch.float64), rtol=1e-5, atol=1e-5)


def test_longhand() -> None:
    z = correlated(7, 5).double()
    columns = [[[float(z[v, i, j]) for i in range(7)] for j in range(5)] for v in range(2)]
    means = [[sum(column) / 7 for column in view] for view in columns]

    def cov(v: int, j: int, k: int) -> float:
        one, two = columns[v][j], columns[v][k]
        return sum((one[i] - means[v][j]) * (two[i] - means[v][k]) for i in range(7)) / 6

    hinges = [sum(max(0.0, 1 - math.sqrt(cov(v, j, j) + 1e-4)) for j in range(5)) / 5 for v in range(2)]
    crossed = [sum(cov(v, j, k) ** 2 for j in range(5) for k in range(5) if j != k) / 5 for v in range(2)]
    apart = sum((columns[0][j][i] - columns[1][j][i]) ** 2 for i in range(7) for j in range(5)) / 35
    assert_close(variance(z), torch.tensor(hinges, dtype=torch.float64))
    assert_close(covariance(z), torch.tensor(crossed, dtype=torch.float64))
    assert_close(invariance(z), torch.tensor(apart, dtype=torch.float64))


def test_more_views_are_the_mean_over_pairs() -> None:
    z = torch.randn(3, 6, 4, dtype=torch.float64)
    assert_close(invariance(z), torch.stack([invariance(z[[0, 1]]), invariance(z[[0, 2]]), invariance(z[[1, 2]])]).mean())


def test_shifts_and_permutations_change_nothing() -> None:
    z = torch.randn(2, 8, 4, dtype=torch.float64)
    for term in (invariance, variance, covariance):
        assert_close(term(z + 3), term(z))
        assert_close(term(z[:, torch.randperm(8)]), term(z))


def test_white_and_equal_views_cost_nothing() -> None:
    basis = torch.linalg.qr(torch.randn(8, 4, dtype=torch.float64).sub_(0).index_fill_(1, torch.tensor([0]), 1.0))[0][:, 1:]
    white = basis * math.sqrt(7) * 1.01
    z = torch.stack([white, white])
    assert_close(torch.stack([invariance(z), variance(z).mean(), covariance(z).mean()]), torch.zeros(3).double())


def test_at_collapse_only_the_hinge_speaks() -> None:
    z = torch.ones(2, 6, 4, dtype=torch.float64)
    assert_close(variance(z), torch.full((2,), 0.99, dtype=torch.float64))
    assert_close(covariance(z) + invariance(z), torch.zeros(2, dtype=torch.float64))


@pytest.mark.parametrize("term", [invariance, variance, covariance])
def test_gradient(term) -> None:
    z = (0.5 * torch.randn(2, 5, 3, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(term, z)
