"""BYOL against the paper's formula written out in loops."""

from __future__ import annotations

import math

import torch
from torch.testing import assert_close

from manyviews.objectives.byol import BYOL, byol, regression
from manyviews.objectives.shared import pairs
from manyviews.testing.toy import ToyEncoder, ToySpec


def longhand(predictions: torch.Tensor, targets: torch.Tensor) -> list[float]:
    """|q/|q| - t/|t||^2 of view 1 against target 2, plus of view 2 against target 1."""

    def normal(x: torch.Tensor) -> list[float]:
        norm = math.sqrt(sum(float(value) ** 2 for value in x))
        return [float(value) / norm for value in x]

    def apart(q: torch.Tensor, t: torch.Tensor) -> float:
        return sum((one - two) ** 2 for one, two in zip(normal(q), normal(t), strict=True))

    units = range(predictions.shape[1])
    return [apart(predictions[0, i], targets[1, i]) + apart(predictions[1, i], targets[0, i]) for i in units]


def test_longhand() -> None:
    generator = torch.Generator().manual_seed(0)
    predictions, targets = torch.randn(2, 2, 256, 256, generator=generator)
    expected = torch.tensor(longhand(predictions.double(), targets.double()), dtype=torch.float64)
    assert_close(byol(predictions, targets, pairs(2, [0, 1])).double(), expected, rtol=1e-5, atol=1e-5)
    assert_close(byol(predictions.double(), targets.double(), pairs(2, [0, 1])), expected)


def test_a_view_is_never_paired_with_itself() -> None:
    assert pairs(2, [0, 1]) == [(0, 1), (1, 0)]
    assert pairs(3, [0]) == [(1, 0), (2, 0)]
    assert pairs(3, [1, 2]) == [(0, 0), (0, 1), (1, 1), (2, 0)]


def test_identities() -> None:
    q, t = torch.randn(2, 6, 4, dtype=torch.float64)
    assert_close(regression(3 * q, t), regression(q, 0.5 * t))
    assert_close(regression(q, -2 * q), torch.full((6,), 4.0, dtype=torch.float64))
    order = torch.randperm(6)
    assert_close(regression(q[order], t[order]), regression(q, t)[order])


def test_at_collapse_the_loss_is_zero() -> None:
    same = torch.ones(2, 5, 3, dtype=torch.float64)
    assert_close(byol(same, same, pairs(2, [0, 1])), torch.zeros(5, dtype=torch.float64))


def test_gradient() -> None:
    q = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    t = torch.randn(2, 4, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda q: byol(q, t, pairs(2, [0, 1])), q)


def test_without_a_projector_the_encoders_own_vectors_are_predicted() -> None:
    """BGRL, whose predictor gives as many numbers as the encoder, whatever `out` says."""
    encoder, z = ToyEncoder(ToySpec(channels=3)), torch.randn(5, 8)
    bgrl = BYOL(projector=False, out=3, hidden=4, norm="none")
    assert bgrl.head(encoder, 8)(z) is z
    predictor = bgrl.predictor(encoder, 8)
    assert predictor(z).shape == (5, 8)
    assert [tuple(p.shape) for p in predictor.parameters() if p.ndim == 2] == [(4, 8), (8, 4)]
    assert BYOL(out=3).head(encoder, 8)(z).shape == (5, 3)
