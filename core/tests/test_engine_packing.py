"""Batches capped by size: nothing lost, nothing too large, like with like, the same from any start."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from manyviews.engine.loader import Order
from manyviews.engine.pretrain import pretrain
from manyviews.errors import UserError
from manyviews.recipe.model import Recipe

SAMPLES = np.arange(3, 503)
SIZES = np.random.default_rng(0).lognormal(1, 0.7, 500).clip(0.3, 20)


def order(**changes: int) -> Order:
    return Order(SAMPLES, batch_size=changes.pop("batch_size", 16), seed=3, sizes=SIZES, cap=40.0, **changes)


def test_each_sample_comes_once_and_no_batch_is_above_the_cap() -> None:
    batches = list(order().batches(0, order().per_epoch))
    assert sorted(np.concatenate(batches)) == sorted(SAMPLES)
    for batch in batches:
        assert len(batch) <= 16
        assert SIZES[batch - 3].max() * len(batch) <= 40


def test_sizes_of_a_batch_are_alike() -> None:
    batches = list(order(batch_size=1000).batches(0, order(batch_size=1000).per_epoch))
    padding = [1 - SIZES[batch - 3].sum() / (SIZES[batch - 3].max() * len(batch)) for batch in batches]
    shuffled = np.random.default_rng(1).permutation(SIZES)[:480].reshape(-1, 8)
    assert np.mean(padding) < 0.1 < (1 - shuffled.mean(1) / shuffled.max(1)).mean()


def test_epochs_differ_and_any_start_gives_the_same_batches() -> None:
    whole = list(order().batches(0, 3 * order().per_epoch))
    assert all(np.array_equal(a, b) for a, b in zip(order().batches(50, 80), whole[50:80], strict=True))
    again = list(order().batches(0, order().per_epoch))
    assert not all(np.array_equal(a, b) for a, b in zip(again, whole[order().per_epoch :], strict=False))


def test_processes_take_turns_with_batches_of_like_size() -> None:
    both = [list(order(world=2, rank=rank).batches(0, order(world=2).per_epoch)) for rank in (0, 1)]
    seen = np.concatenate([*both[0], *both[1]])
    assert len(set(seen)) == len(seen) > 480
    apart = [abs(SIZES[left - 3].max() - SIZES[right - 3].max()) for left, right in zip(*both, strict=True)]
    assert np.median(apart) < 1


def test_a_cap_that_cannot_hold_is_refused() -> None:
    with pytest.raises(UserError, match=r"train\.batch_total: 5 is less than the largest sample, 20"):
        Order(SAMPLES, batch_size=16, seed=0, sizes=SIZES, cap=5.0)
    with pytest.raises(UserError, match=r"train\.batch_total: this source does not say"):
        Order(SAMPLES, batch_size=16, seed=0, cap=5.0)


def test_a_run_trains_on_capped_batches(toy_recipe: Callable[..., Recipe]) -> None:
    run = pretrain(toy_recipe(data__length=[2, 12], train__batch_total=48.0, train__epochs=2, train__steps=None))
    assert all(math.isfinite(entry.metrics.get("train/loss", 0.0)) for entry in run.metrics())
