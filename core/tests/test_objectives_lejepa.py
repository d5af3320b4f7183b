"""SIGReg and LeJEPA against the paper's algorithms written out in loops."""

from __future__ import annotations

import cmath
import math

import pytest
import torch
from torch.testing import assert_close

from manyviews.objectives.lejepa import prediction
from manyviews.objectives.sigreg import epps_pulley, sigreg, slices


def longhand(x: list[float], knots: int = 17, reach: float = 5.0) -> float:
    """N * trapezoid over all knots of |mean exp(itx) - exp(-t^2/2)|^2 exp(-t^2/2), complex numbers and no symmetry."""
    step = 2 * reach / (knots - 1)
    heights = []
    for k in range(knots):
        t = -reach + k * step
        gaussian = math.exp(-t * t / 2)
        characteristic = sum(cmath.exp(1j * t * value) for value in x) / len(x)
        heights.append(abs(characteristic - gaussian) ** 2 * gaussian)
    return len(x) * step * (sum(heights) - (heights[0] + heights[-1]) / 2)


def test_epps_pulley_longhand() -> None:
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0)) * 1.7 + 0.3
    expected = torch.tensor([longhand(column.tolist()) for column in x.double().T], dtype=torch.float64)
    assert_close(epps_pulley(x, 17, 5.0).double(), expected, rtol=1e-4, atol=1e-4)
    assert_close(epps_pulley(x.double(), 17, 5.0), expected)


def test_sigreg_is_the_mean_over_directions() -> None:
    z = torch.randn(256, 256, generator=torch.Generator().manual_seed(0))
    directions = slices(256, 8, torch.Generator().manual_seed(1), z)
    assert_close(directions.norm(dim=0), torch.ones(8))
    expected = sum(longhand((z.double() @ direction.double()).tolist()) for direction in directions.T) / 8
    assert_close(sigreg(z, directions).double(), torch.tensor(expected, dtype=torch.float64), rtol=1e-4, atol=1e-4)


def test_mirror_image_and_order_change_nothing() -> None:
    x = torch.randn(20, 3, dtype=torch.float64)
    assert_close(epps_pulley(-x, 17, 5.0), epps_pulley(x, 17, 5.0))
    assert_close(epps_pulley(x[torch.randperm(20)], 17, 5.0), epps_pulley(x, 17, 5.0))


def test_a_gaussian_costs_least() -> None:
    """Normal quantiles against the same points squeezed, moved, and collapsed to one."""
    x = torch.special.ndtri((torch.arange(200, dtype=torch.float64) + 0.5) / 200)[:, None]
    gaussian, squeezed, moved, collapsed = (float(epps_pulley(y, 17, 5.0)) for y in (x, x / 2, x + 0.5, 0 * x))
    assert gaussian < 1e-2 < min(squeezed, moved)
    assert max(squeezed, moved) < collapsed
    assert collapsed == pytest.approx(longhand([0.0] * 200))


def test_prediction_longhand() -> None:
    z = torch.randn(3, 5, 4, dtype=torch.float64)
    expected = []
    for i in range(5):
        center = [(float(z[0, i, j]) + float(z[2, i, j])) / 2 for j in range(4)]
        expected.append(sum((float(z[v, i, j]) - center[j]) ** 2 for v in range(3) for j in range(4)) / 12)
    assert_close(prediction(z, [0, 2]), torch.tensor(expected, dtype=torch.float64))
    assert_close(prediction(z[:1].expand(3, 5, 4), [0, 2]), torch.zeros(5, dtype=torch.float64))


def test_gradient() -> None:
    z = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    directions = slices(3, 4, torch.Generator().manual_seed(0), z)
    assert torch.autograd.gradcheck(lambda z: sigreg(z[0], directions), z)
    assert torch.autograd.gradcheck(lambda z: prediction(z, [0]), z)
