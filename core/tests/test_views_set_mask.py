"""T-JEPA's sampler: sizes, disjointness, and what it refuses."""

from __future__ import annotations

import pytest
import torch

from manyviews.errors import UserError
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.testing.toy import ToyBatch
from manyviews.view import View
from manyviews.views.set_mask import SetMask

BATCH = ToyBatch(torch.empty(0, 1), Lengths.of([]))
EQUAL = Lengths.equal(6, 14)
RAGGED = Lengths.of([2, 14, 3, 40, 7])


def draw(lengths: Lengths, seed: int = 0, **parameters: object) -> View:
    (view,) = SetMask(**parameters)(BATCH, Layout(lengths), torch.Generator().manual_seed(seed))
    return view


@pytest.mark.parametrize("lengths", [EQUAL, RAGGED], ids=["equal", "ragged"])
@pytest.mark.parametrize("seed", range(25))
def test_asked_sets_lie_outside_the_context(lengths: Lengths, seed: int) -> None:
    view = draw(lengths, seed, context=(0.05, 0.9), asked=(0.05, 0.9), sets=3)
    assert view.hidden is not None
    assert view.asked is not None
    assert not (view.asked.where & ~view.hidden.where).any()
    context = view.hidden.complement(lengths).lengths(lengths).tensor
    asked = view.asked.lengths(lengths).tensor.reshape(3, -1)
    assert (context >= 1).all()
    assert (asked >= 1).all()
    assert (asked == asked[0]).all()
    assert (context + asked[0] <= lengths.tensor).all()


@pytest.mark.parametrize("seed", range(25))
def test_sizes_are_drawn_once_a_batch_and_known(seed: int) -> None:
    view = draw(EQUAL, seed, context=(0.2, 0.4), asked=(0.3, 0.5))
    assert view.hidden is not None
    assert view.asked is not None
    hidden, asked = view.hidden.where.reshape(6, 14).sum(1), view.asked.where.reshape(4, 6, 14).sum(2)
    assert (hidden == view.hidden.each).all()
    assert (asked == view.asked.each).all()
    assert 14 - int(hidden[0]) in range(3, 7)
    assert int(asked[0, 0]) in range(4, 8)


@pytest.mark.parametrize("lengths", [EQUAL, RAGGED], ids=["equal", "ragged"])
def test_every_token_is_shown_and_asked_for_at_some_time(lengths: Lengths) -> None:
    views = [draw(lengths, seed) for seed in range(60)]
    assert torch.stack([~view.hidden.where[0] for view in views]).any(0).all()
    assert torch.stack([view.asked.where.any(0) for view in views]).any(0).all()


def test_rows_and_sets_differ() -> None:
    view = draw(EQUAL)
    assert len(view.hidden.where.reshape(6, 14).unique(dim=0)) > 1
    assert len(view.asked.where.unique(dim=0)) > 1


@pytest.mark.parametrize("lengths", [EQUAL, RAGGED], ids=["equal", "ragged"])
def test_draws_repeat_under_a_seed(lengths: Lengths) -> None:
    assert torch.equal(draw(lengths, 3).asked.where, draw(lengths, 3).asked.where)
    assert not torch.equal(draw(lengths, 3).hidden.where, draw(lengths, 4).hidden.where)


def test_large_shares_leave_room_for_one_another() -> None:
    for seed in range(50):
        view = draw(EQUAL, seed, context=(0.1, 0.9), asked=(0.3, 0.9), sets=1)
        assert view.asked.each >= round(0.3 * 14)
        assert view.hidden.each >= view.asked.each


def test_a_sample_of_one_token_shows_it() -> None:
    view = draw(Lengths.of([1, 5]))
    assert not view.hidden.where[0, 0]
    assert not view.asked.where[:, 0].any()


def test_impossible_shares_are_refused() -> None:
    with pytest.raises(UserError, match=r"smallest context \(0.6\) and asked set \(0.5\) are together more than all"):
        SetMask(context=(0.6, 0.7), asked=(0.5, 0.6))
    with pytest.raises(UserError, match=r"context: the low end 0.5 is above the high end 0.2"):
        SetMask(context=(0.5, 0.2))
