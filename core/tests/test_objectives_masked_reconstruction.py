"""Reconstruction errors against the papers' formulas written out in loops; what is missing is left out."""

from __future__ import annotations

import math

import pytest
import torch
from torch.testing import assert_close

from manyviews import distributed
from manyviews.errors import UserError
from manyviews.objectives.masked_reconstruction import (
    MaskedReconstruction,
    cross_entropies,
    errors,
    normalized,
    scaled_cosine_errors,
)
from manyviews.testing.toy import ToyEncoder, ToySpec

NAN = float("nan")


def pair(tokens: int = 256, channels: int = 256) -> tuple[torch.Tensor, torch.Tensor]:
    prediction, target = torch.randn(2, tokens, channels, generator=torch.Generator().manual_seed(0))
    return prediction, target


@pytest.mark.parametrize(("kind", "power"), [("mse", 2), ("l1", 1)])
def test_errors_longhand(kind: str, power: int) -> None:
    prediction, target = pair(9, 5)
    target[2, 3] = NAN
    seen = [
        abs(float(p) - float(t)) ** power
        for p, t in zip(prediction.double().flatten(), target.double().flatten(), strict=True)
        if not math.isnan(t)
    ]
    values, known = errors(prediction, target, kind)
    loss = distributed.mean(values.flatten(), known.flatten())
    assert_close(loss.double(), torch.tensor(sum(seen) / len(seen), dtype=torch.float64), rtol=1e-5, atol=1e-6)


def test_wide_pair() -> None:
    prediction, target = pair()
    expected = ((prediction.double() - target.double()) ** 2).mean()
    assert_close(distributed.mean(errors(prediction, target, "mse")[0].flatten()).double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("gamma", [1.0, 2.0, 3.0])
def test_scaled_cosine_longhand(gamma: float) -> None:
    prediction, target = pair(9, 5)
    target[2, 3] = NAN
    target[4] = NAN
    values, known = scaled_cosine_errors(prediction, target, gamma)
    assert known.tolist() == [token != 4 for token in range(9)]
    for token in range(9):
        if token == 4:
            continue
        both = [(float(p), float(t)) for p, t in zip(prediction[token], target[token], strict=True) if not math.isnan(t)]
        dot = sum(p * t for p, t in both)
        cosine = dot / math.sqrt(sum(p * p for p, _ in both) * sum(t * t for _, t in both))
        assert_close(float(values[token]), (1 - cosine) ** gamma, rtol=1e-4, atol=1e-5)


def test_cosine_ignores_length() -> None:
    prediction, target = pair(6, 4)
    scaled = scaled_cosine_errors(4 * prediction, 0.1 * target, 2.0)[0]
    assert_close(scaled, scaled_cosine_errors(prediction, target, 2.0)[0])


def test_equal_content_costs_nothing() -> None:
    _, target = pair(6, 4)
    assert_close(errors(target, target, "mse")[0], torch.zeros(6, 4))
    assert_close(scaled_cosine_errors(target, target, 2.0)[0], torch.zeros(6))


def test_normalized_longhand() -> None:
    target = torch.tensor([[1.0, 2.0, 6.0, NAN], [5.0, 5.0, 5.0, 5.0], [NAN, 3.0, NAN, NAN]], dtype=torch.float64)
    deviation = math.sqrt(((1 - 3) ** 2 + (2 - 3) ** 2 + (6 - 3) ** 2) / 2 + 1e-6)
    expected = torch.tensor(
        [[-2 / deviation, -1 / deviation, 3 / deviation, NAN], [0, 0, 0, 0], [NAN, 0, NAN, NAN]], dtype=torch.float64
    )
    assert_close(normalized(target), expected, equal_nan=True)
    _, wide = pair()
    assert_close(normalized(wide), torch.nn.functional.normalize(wide - wide.mean(-1, keepdim=True)) * 255**0.5)
    assert_close(normalized(3 * wide + 2), normalized(wide))


def test_cross_entropy_longhand() -> None:
    logits, classes = torch.randn(6, 4, dtype=torch.float64), torch.tensor([0, 3, -1, 2, 2, -1])
    values, known = cross_entropies(logits, classes)
    expected = [
        math.log(sum(math.exp(float(value)) for value in row)) - float(row[label])
        for row, label in zip(logits, classes.tolist(), strict=True)
        if label >= 0
    ]
    assert_close(distributed.mean(values, known), torch.tensor(sum(expected) / 4, dtype=torch.float64))


def test_nothing_known_costs_nothing_and_sends_no_nan_back() -> None:
    prediction = torch.randn(3, 2, requires_grad=True)
    target = torch.full((3, 2), NAN)
    for values, known in (errors(prediction, target, "mse"), scaled_cosine_errors(prediction, target, 2.0)):
        loss = distributed.mean(values.flatten(), known.flatten())
        (gradient,) = torch.autograd.grad(loss, prediction)
        assert_close(loss, torch.zeros(()))
        assert_close(gradient, torch.zeros(3, 2))


def test_gradient() -> None:
    prediction = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    target = torch.randn(4, 3, dtype=torch.float64)
    target[1, 2] = NAN
    assert torch.autograd.gradcheck(lambda p: errors(p, target, "mse")[0], prediction)
    assert torch.autograd.gradcheck(lambda p: errors(p, target, "l1")[0], prediction)
    assert torch.autograd.gradcheck(lambda p: scaled_cosine_errors(p, target, 3.0)[0], prediction)
    assert torch.autograd.gradcheck(lambda p: cross_entropies(p, torch.tensor([0, -1, 2, 1]))[0], prediction)


@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_an_encoder_without_content_to_reconstruct_is_refused(loss: str) -> None:
    encoder = ToyEncoder(ToySpec(channels=4))
    encoder.target_channels = encoder.target_classes = 0
    with pytest.raises(UserError, match=f"`loss: {loss}` needs .*; ToyEncoder has none"):
        MaskedReconstruction(loss=loss).predictor(encoder, encoder.width)
