"""Barlow Twins and its mixed-sample regularisation against the papers' formulas written out in loops."""

from __future__ import annotations

import math

import torch
from torch.testing import assert_close

from manyviews.objectives.barlow_twins import correlation, invariance, mixed, redundancy, standardize


def correlated(units: int = 256, width: int = 256) -> torch.Tensor:
    """The seeded pair of views that the reference values were computed on."""
    generator = torch.Generator().manual_seed(0)
    one, noise = torch.randn(units, width, generator=generator), torch.randn(units, width, generator=generator)
    return torch.stack([one, 0.8 * one + 0.6 * noise])


def loss(z: torch.Tensor, weight: float = 0.005, eps: float = 1e-5) -> torch.Tensor:
    matrix = correlation(*standardize(z, eps))
    return invariance(matrix) + weight * redundancy(matrix)


def longhand_correlation(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Equation 2: sum of the products over the root of the sums of squares, of centred embeddings."""
    (units, width), rows = a.shape, []
    for i in range(width):
        rows.append([])
        for j in range(width):
            x = [float(a[n, i]) - sum(float(a[m, i]) for m in range(units)) / units for n in range(units)]
            y = [float(b[n, j]) - sum(float(b[m, j]) for m in range(units)) / units for n in range(units)]
            product = sum(one * two for one, two in zip(x, y, strict=True))
            rows[-1].append(product / math.sqrt(sum(one * one for one in x) * sum(two * two for two in y)))
    return torch.tensor(rows, dtype=torch.float64)


def test_reference_value() -> None:
    """With the biased standard deviation; the unbiased one gives 12.14."""
    expected = torch.tensor(11.828922, dtype=torch.float64)
    assert_close(loss(correlated(), eps=0.0).double(), expected, rtol=1e-5, atol=0)
    assert_close(loss(correlated()).double(), expected, rtol=1e-4, atol=0)


def test_longhand() -> None:
    z = correlated(7, 4).double()
    matrix = longhand_correlation(z[0], z[1])
    assert_close(correlation(*standardize(z, eps=0.0)), matrix)
    expected = sum((1 - matrix[i, i]) ** 2 for i in range(4))
    expected = expected + 0.005 * sum(matrix[i, j] ** 2 for i in range(4) for j in range(4) if i != j)
    assert_close(loss(z), expected, rtol=1e-4, atol=0)


def test_equal_and_decorrelated_views_cost_nothing() -> None:
    signs = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], dtype=torch.float64)
    assert_close(loss(torch.stack([signs, 5 * signs + 2])), torch.zeros((), dtype=torch.float64), rtol=0, atol=1e-8)


def test_permutation_changes_nothing() -> None:
    z = correlated(9, 4).double()
    assert_close(loss(z[:, torch.randperm(9)]), loss(z))


def test_at_collapse_the_loss_is_the_width() -> None:
    assert_close(loss(torch.ones(2, 6, 5, requires_grad=True)), torch.tensor(5.0))


def test_mixed_longhand() -> None:
    """C^MA, C^MB against s C^AA + (1 - s) C^BA and s C^AB + (1 - s) C^BB, with the second view in its partners' order."""
    z = standardize(torch.randn(3, 6, 4, dtype=torch.float64), eps=0.0)
    partner, share = torch.randperm(6), 0.3
    a, b, m, p = (x.tolist() for x in (z[0], z[1], z[2], z[1][partner]))
    expected = 0.0
    for other in (a, b):
        for i in range(4):
            for j in range(4):
                seen = sum(m[n][i] * other[n][j] for n in range(6)) / 6
                due = sum((share * a[n][i] + (1 - share) * p[n][i]) * other[n][j] for n in range(6)) / 6
                expected += 0.5 * (seen - due) ** 2
    value = mixed(z[0], z[1], z[2], z[1][partner], torch.full((6,), share, dtype=torch.float64))
    assert_close(value, torch.tensor(expected, dtype=torch.float64))


def test_linear_mixtures_cost_nothing() -> None:
    z = torch.randn(2, 6, 4, dtype=torch.float64)
    partner, share = torch.randperm(6), torch.rand(6, dtype=torch.float64)
    mix = share[:, None] * z[0] + (1 - share[:, None]) * z[1][partner]
    assert_close(mixed(z[0], z[1], mix, z[1][partner], share), torch.zeros((), dtype=torch.float64))


def test_gradient() -> None:
    z = torch.randn(3, 5, 3, dtype=torch.float64, requires_grad=True)
    share = torch.rand(5, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda z: loss(z[:2]), z)
    assert torch.autograd.gradcheck(lambda z: mixed(*standardize(z), standardize(z)[1].roll(1, 0), share), z)
