"""What masks know on the host agrees with what they hold, so that nobody has to ask the device."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.mask import Mask
from manyviews.testing.toy import ToyBatch
from manyviews.views.block_mask import BlockMask
from manyviews.views.masked_views import MaskedViews
from manyviews.views.random_mask import RandomMask
from manyviews.views.set_mask import SetMask
from manyviews.views.span_mask import SpanMask

GRID = Layout(Lengths.equal(12, 24), grid=(4, 6))
RAGGED = Layout(Lengths.of([1, 2, 7, 30] * 3))
BATCH = ToyBatch(torch.empty(0, 1), Lengths.of([]))
VIEWS = [RandomMask(), RandomMask(share=(0.2, 0.8), per="sample"), SpanMask(), SetMask(), MaskedViews(), BlockMask()]


def held(mask: Mask, lengths: Lengths) -> list[int]:
    """Counted from the mask itself."""
    return [int(part.sum()) for row in mask.where for part in row.split(lengths.on_host())]


@pytest.mark.parametrize("layout", [GRID, RAGGED], ids=["grid", "ragged"])
@pytest.mark.parametrize("views", VIEWS, ids=lambda views: type(views).__name__)
def test_every_sampler_knows_how_many_it_chose(views: Any, layout: Layout) -> None:
    if isinstance(views, BlockMask) and layout.grid is None:
        pytest.skip("needs places")
    for view in views(BATCH, layout, torch.Generator().manual_seed(0)):
        for mask in filter(None, (view.hidden, view.asked)):
            assert mask.each is not None or mask.numbers is not None, "its shapes would ask the device"
            for one in (mask, mask.complement(layout.lengths)):
                counts = held(one, layout.lengths)
                assert list(one.numbers or (one.each,) * len(counts)) == counts
                assert one.lengths(layout.lengths).on_host() == counts
                assert torch.equal(one.index(layout.lengths), one.where.flatten().nonzero().squeeze(1))


def test_counts_that_are_all_alike_are_one_number() -> None:
    lengths = Lengths.of([2, 3])
    alike = Mask.counted(torch.tensor([[True, False, False, True, False]]), lengths)
    assert (alike.each, alike.numbers) == (1, None)
    unlike = Mask.counted(torch.tensor([[True, True, False, True, False]]), lengths)
    assert (unlike.each, unlike.numbers) == (None, (2, 1))
