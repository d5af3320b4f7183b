"""Shares that a schedule draws, and the view that hides nothing."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.testing.toy import ToyBatch
from manyviews.views.random_mask import RandomMask
from manyviews.views.whole import Whole

BATCH = ToyBatch(torch.empty(0, 1), Lengths.of([]))


@pytest.mark.parametrize("power", [1.0, 3.0, 0.5])
def test_a_power_moves_the_shares_within_their_range(power: float) -> None:
    """Of 1 - t^p for a uniform t the mean is p / (p + 1), and a share u lies below with probability 1 - (1 - u)^(1/p)."""
    layout = Layout(Lengths.equal(4000, 1000))
    views = RandomMask(share=(0.01, 0.99), power=power, per="sample")(BATCH, layout, torch.Generator().manual_seed(0))
    shares = views[0].hidden.lengths(layout.lengths).tensor / 1000
    assert_close(shares.mean(), torch.tensor(0.01 + 0.98 * power / (power + 1)), atol=0.02, rtol=0)
    assert_close((shares < 0.5).float().mean(), torch.tensor(1 - 0.5 ** (1 / power)), atol=0.03, rtol=0)


def test_a_power_holds_for_whole_batches_too() -> None:
    layout, generator = Layout(Lengths.equal(1, 1000)), torch.Generator().manual_seed(0)
    views = RandomMask(share=(0.01, 0.99), power=3.0)
    shares = [views(BATCH, layout, generator)[0].hidden.each / 1000 for _ in range(400)]
    assert_close(sum(shares) / 400, 0.01 + 0.98 * 0.75, atol=0.05, rtol=0)


def test_whole_shows_everything() -> None:
    layout = Layout(Lengths.equal(2, 3))
    (view,) = Whole()(BATCH, layout, torch.Generator())
    assert (view.batch, view.layout, view.hidden, view.asked) == (BATCH, layout, None, None)
