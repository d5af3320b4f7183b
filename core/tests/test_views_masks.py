"""Mask samplers: what they promise, on equal and on ragged lengths, and that a seed repeats them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from manyviews.errors import UserError
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.testing.toy import ToyBatch
from manyviews.view import ViewGenerator
from manyviews.views.block_mask import BlockMask, box_size
from manyviews.views.masked_views import MaskedViews
from manyviews.views.random_mask import RandomMask
from manyviews.views.span_mask import SpanMask, spans

EQUAL = Layout(Lengths.equal(50, 24), grid=(4, 6))
RAGGED = Layout(Lengths.of([1, 2, 7, 30] * 10))
BATCH = ToyBatch(torch.empty(0, 1), Lengths.of([]))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def placed(lengths: Lengths) -> Layout:
    return Layout(lengths, positions=lengths.places()[:, None].float())


@pytest.mark.parametrize("layout", [EQUAL, RAGGED, placed(RAGGED.lengths)], ids=["grid", "set", "placed"])
@pytest.mark.parametrize(
    "views",
    [RandomMask(share=0.75), RandomMask(share=(0.1, 0.9), per="sample"), SpanMask(start=0.3, span=4), MaskedViews(locals=2)],
    ids=lambda views: type(views).__name__,
)
def test_some_tokens_are_hidden_and_some_stay_in_every_sample(views: Any, layout: Layout) -> None:
    for view in views(BATCH, layout, seeded()):
        hidden = view.hidden.lengths(layout.lengths).tensor
        many = layout.lengths.tensor > 1
        assert (hidden[many] >= 1).all()
        assert (hidden < layout.lengths.tensor).all()
        if view.hidden.each is not None:
            assert (hidden == view.hidden.each).all()


@pytest.mark.parametrize("views", [RandomMask(), SpanMask(), MaskedViews(), BlockMask()], ids=lambda v: type(v).__name__)
def test_a_seed_repeats_the_views_and_another_does_not(views: Any) -> None:
    first, again, other = (views(BATCH, EQUAL, seeded(s))[0].hidden.where for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_random_mask_hides_the_share_uniformly() -> None:
    layout = Layout(Lengths.equal(4000, 10))
    hidden = RandomMask(share=0.3)(BATCH, layout, seeded())[0].hidden
    assert hidden is not None
    assert hidden.each == 3
    assert_close(hidden.where.view(4000, 10).float().mean(0), torch.full((10,), 0.3), atol=0.03, rtol=0)


def test_random_mask_hides_the_tokens_of_one_large_sample_uniformly() -> None:
    layout, generator = Layout(Lengths.equal(1, 10)), seeded()
    masks = [RandomMask(share=0.3)(BATCH, layout, generator)[0].hidden for _ in range(300)]
    where = torch.cat([mask.where for mask in masks if mask])
    assert (where.sum(1) == 3).all()
    assert_close(where.float().mean(0), torch.full((10,), 0.3), atol=0.1, rtol=0)
    pairs = where[:, :, None] & where[:, None, :]
    assert_close(pairs.float().mean(0).triu(1), torch.full((10, 10), 3 * 2 / 90).triu(1), atol=0.06, rtol=0)


def test_random_mask_per_sample_draws_shares_from_the_whole_range() -> None:
    layout = Layout(Lengths.equal(2000, 100))
    hidden = RandomMask(share=(0.1, 0.7), per="sample")(BATCH, layout, seeded())[0].hidden
    assert hidden is not None
    counts = hidden.where.view(2000, 100).sum(1)
    assert counts.min() == 10
    assert counts.max() == 70
    assert_close(counts.float().mean(), torch.tensor(40.0), atol=1.5, rtol=0)


def test_random_mask_refuses_a_range_the_wrong_way_round() -> None:
    with pytest.raises(UserError, match=r"low end 0\.7 is above the high end 0\.1"):
        RandomMask(share=(0.7, 0.1))


def test_spans_are_what_a_loop_over_samples_gives() -> None:
    lengths = Lengths.of([40, 3, 25])
    got = spans(lengths, 0.1, 4, seeded(3))
    # every hidden run is at least a span long, unless the sample ends or begins in it
    for part in got.split(lengths.tensor.tolist()):
        runs = "".join("x" if hidden else "." for hidden in part.tolist())
        assert "x" in runs
        inner = runs.rstrip("x").split(".")
        assert all(len(run) in (0, *range(4, 40)) for run in inner)


def test_span_mask_hides_what_its_start_probability_says() -> None:
    layout = Layout(Lengths.equal(200, 500))
    hidden = SpanMask(start=0.065, span=10)(BATCH, layout, seeded())[0].hidden
    assert hidden is not None
    # a token is shown where none of the ten starts that could cover it fell: 1 - (1 - p)^10 = .49, as wav2vec 2.0 says
    assert_close(hidden.where.float().mean(), torch.tensor(1 - (1 - 0.065) ** 10), atol=0.02, rtol=0)


@pytest.mark.parametrize("grid", [(24,), (6, 8), (4, 4, 4)])
def test_blocks_are_boxes_of_one_size_and_the_context_has_none_of_them(grid: tuple[int, ...]) -> None:
    samples = 20
    layout = Layout(Lengths.equal(samples, int(torch.tensor(grid).prod())), grid=grid)
    view = BlockMask(sets=3)(BATCH, layout, seeded())[0]
    assert view.hidden is not None
    assert view.asked is not None
    assert not (~view.hidden.where[0] & view.asked.where.any(0)).any()
    for where in view.asked.where.view(3 * samples, *grid):
        places = where.nonzero()
        extent = places.amax(0) - places.amin(0) + 1
        assert int(extent.prod()) == len(places) == view.asked.each
    shown = (~view.hidden.where).view(samples, -1).sum(1)
    assert (shown >= 1).all()


def test_box_size_keeps_share_and_aspect() -> None:
    assert box_size((14, 14), 0.25, [1.0, 1.0]) == (7, 7)
    rows, cols = box_size((100, 100), 0.16, [1.0, 4.0])
    assert (rows, cols) == (20, 80)
    assert box_size((4, 4), 1.0, [1.0, 1.5]) == (3, 4)


def test_blocks_among_coordinates_are_the_nearest_tokens() -> None:
    layout = placed(Lengths.of([10, 20]))
    view = BlockMask(sets=2, asked=(0.3, 0.3), context=(1.0, 1.0))(BATCH, layout, seeded())[0]
    assert view.asked is not None
    for where in view.asked.where:
        for part, count in zip(where.split([10, 20]), (3, 6), strict=True):
            places = part.nonzero().squeeze(1)
            assert len(places) == count
            assert int(places.max() - places.min()) + 1 == count


def test_blocks_need_places() -> None:
    with pytest.raises(UserError, match="random_mask"):
        BlockMask()(BATCH, RAGGED, seeded())


def test_masked_views_have_roles_and_shares() -> None:
    views = MaskedViews(globals=2, locals=3, global_hidden=(0.25, 0.25), local_hidden=(0.75, 0.75))(BATCH, EQUAL, seeded())
    assert [view.role for view in views] == ["global"] * 2 + ["local"] * 3
    assert [view.hidden.each for view in views if view.hidden] == [6, 6, 18, 18, 18]


@pytest.mark.parametrize(
    ("sampler", "name"),
    [
        (RandomMask, "share"),
        (BlockMask, "asked"),
        (BlockMask, "context"),
        (BlockMask, "aspect"),
        (MaskedViews, "global_hidden"),
        (MaskedViews, "local_hidden"),
    ],
)
def test_a_range_that_ends_below_its_beginning_is_refused(sampler: type[ViewGenerator], name: str) -> None:
    with pytest.raises(UserError, match=rf"{name}: the low end 0\.9 is above the high end 0\.1; write it as \[0\.1, 0\.9\]"):
        sampler(**{name: (0.9, 0.1)})
