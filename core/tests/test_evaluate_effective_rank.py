"""Effective rank and spread against their definitions and on known cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from torch.testing import assert_close

from manyviews.errors import DataError
from manyviews.evaluate.effective_rank import EffectiveRank, effective_rank
from manyviews.evaluate.spread import Spread, spread
from manyviews.evaluate.task import Embedded

RNG = np.random.default_rng(0)


def train(x: np.ndarray) -> Embedded:
    return Embedded(x.astype(np.float32), np.full(len(x), "train"))


@pytest.mark.parametrize("shape", [(40, 9), (9, 40)])
@pytest.mark.parametrize("center", [False, True])
def test_agrees_with_the_definition(shape: tuple[int, int], center: bool) -> None:
    x = RNG.normal(size=shape) @ np.diag(np.logspace(0, -2, shape[1])) + 1
    y = x - x.mean(0) if center else x
    eigenvalues = np.linalg.eigvalsh(y.T @ y)
    sigma = [math.sqrt(value) for value in eigenvalues if value > 1e-20 * eigenvalues.max() and value > 1e-12]
    p = [value / sum(sigma) for value in sigma]
    expected = math.exp(-sum(value * math.log(value) for value in p))
    largest = min(shape[0] - center, shape[1])
    assert_close(effective_rank(x, center=center), (expected, expected / largest), rtol=1e-5, atol=0)


def test_orthogonal_directions_of_one_size_have_full_rank() -> None:
    q, _ = np.linalg.qr(RNG.normal(size=(50, 8)))
    assert_close(effective_rank(q), (8.0, 1.0))


def test_an_identity_covariance_has_nearly_full_rank() -> None:
    assert effective_rank(RNG.normal(size=(20_000, 8)))[0] > 7.99


def test_one_direction_has_rank_one() -> None:
    x = np.outer(RNG.normal(size=50), RNG.normal(size=8)).astype(np.float32)
    assert_close(effective_rank(x)[0], 1.0, rtol=0, atol=1e-4)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("units", [2, 4, 64])
def test_the_share_reaches_one_with_fewer_units_than_width(center: bool, units: int) -> None:
    """Orthonormal units, as far apart as they can be: no floor of 1/units (MONAI #8996)."""
    assert_close(effective_rank(np.eye(units, 128), center=center)[1], 1.0)


def test_a_constant_embedding_is_collapsed_by_either_definition() -> None:
    x = np.full((100, 16), 0.3, dtype=np.float32)
    assert_close(effective_rank(x)[0], 1.0)
    wobbling = x * (1 + 1e-7 * RNG.normal(size=x.shape)).astype(np.float32)  # rounding, full rank once centred
    assert effective_rank(wobbling, center=True) == (0.0, 0.0)
    assert effective_rank(np.zeros((10, 3), np.float32)) == (0.0, 0.0)


def test_the_task_reads_training_units_says_when_they_are_few_and_caps_them() -> None:
    x = np.concatenate([np.eye(4, 16), 1e3 * RNG.normal(size=(50, 16))]).astype(np.float32)
    data = Embedded(x, np.array(["train"] * 4 + ["test"] * 50))
    scores = EffectiveRank()(data)
    assert_close(dict(scores.metrics), {"effective_rank": 4.0, "effective_rank_share": 1.0})
    assert "bounded by the units" in scores.notes[0]
    capped = EffectiveRank(max_units=8)(train(RNG.normal(size=(500, 4)))).metrics
    assert capped["effective_rank"] < 3.95
    assert EffectiveRank()(train(RNG.normal(size=(500, 4)))).notes == ()


def test_spread_agrees_with_the_definition() -> None:
    x = RNG.normal(size=(30, 5)) * [1, 2, 3, 4, 0] + [0, 0, 0, 0, 2]
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    cosines = [float(unit[i] @ unit[j]) for i in range(30) for j in range(30) if i != j]
    expected = {"std_mean": x.std(0).mean(), "std_min": 0.0, "dead_share": 0.2, "mean_cosine": np.mean(cosines)}
    assert_close(spread(x), {name: float(value) for name, value in expected.items()}, atol=1e-12, rtol=1e-9)


def test_spread_shows_what_a_standardised_probe_hides() -> None:
    x = RNG.normal(size=(200, 6))
    collapsing = spread(5 + 1e-4 * x)
    assert collapsing["std_mean"] < 2e-4
    assert_close((collapsing["dead_share"], collapsing["mean_cosine"]), (1.0, 1.0), atol=1e-6, rtol=0)
    assert spread(x)["dead_share"] == 0
    assert Spread()(train(x)).metrics["std_mean"] > 0.8


def test_a_unit_of_zeros_has_no_direction() -> None:
    x = np.concatenate([np.zeros((1, 3)), np.ones((2, 3))])
    assert_close(spread(x)["mean_cosine"], 1 / 3)


@pytest.mark.parametrize("task", [EffectiveRank(), Spread()])
def test_one_unit_is_refused(task: EffectiveRank | Spread) -> None:
    with pytest.raises(DataError, match="1 units: it needs 2 or more"):
        task(train(np.ones((1, 3))))
