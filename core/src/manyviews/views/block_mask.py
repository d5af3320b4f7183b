"""Ask for blocks in the plane, in the volume or along time, and show a context without them."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from jaxtyping import Bool, Float
from pydantic import Field, PositiveInt
from torch import Tensor

from manyviews.batch import Batch
from manyviews.errors import UserError
from manyviews.layout import Layout
from manyviews.mask import Mask
from manyviews.moving import sent
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews.views.draws import host_uniform, on_host
from manyviews.views.ranges import refuse_descending

Share = Annotated[float, Field(gt=0, le=1)]
Aspect = Annotated[float, Field(gt=0)]


class BlockMask(ViewGenerator):
    """I-JEPA's multi-block sampler in any number of dimensions (Assran et al. 2023, section 3).

    Draws `sets` asked blocks and one context block, each of a size drawn once a batch and a place drawn for each
    sample; the context is shown less the asked blocks. On a grid a block is a box; where tokens only have coordinates
    (irregular samples) it is the nearest tokens around a random one, by the largest of the distances along the axes.

    Args:
        sets: Number of asked blocks.
        asked: Range of a block's share of the tokens.
        context: Range of the context block's share before the asked blocks are taken out.
        aspect: Range of the ratio between an axis and the first one, relative to the grid's own.
    """

    gives = frozenset({Trait.HIDDEN_TOKENS, Trait.ASKED_TOKENS})
    needs = frozenset({Trait.PLACED_TOKENS})

    def __init__(
        self,
        *,
        sets: PositiveInt = 4,
        asked: tuple[Share, Share] = (0.15, 0.2),
        context: tuple[Share, Share] = (0.85, 1.0),
        aspect: tuple[Aspect, Aspect] = (0.75, 1.5),
    ) -> None:
        super().__init__()
        refuse_descending(asked=asked, context=context, aspect=aspect)
        self.sets, self.asked, self.context, self.aspect = sets, asked, context, aspect

    def forward(self, batch: Batch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        lengths, here = layout.lengths, layout.lengths.host()
        if layout.grid is None or here is None:
            hidden, asked = self._drawn(layout, generator)
            return (View(batch, layout, hidden=Mask(hidden), asked=asked),)
        hidden, asked = self._drawn(Layout(here, grid=layout.grid), on_host(generator))
        sets = Mask(sent(asked.where, lengths.tensor.device), asked.each)
        return (View(batch, layout, hidden=Mask.counted(hidden, lengths), asked=sets),)

    def _drawn(self, layout: Layout, generator: torch.Generator) -> tuple[Bool[Tensor, "1 tokens"], Mask]:
        """What is hidden, and the asked sets."""
        asked = self._blocks(layout, self.sets, self.asked, generator)
        context = self._blocks(layout, 1, self.context, generator).where[0] & ~asked.where.any(0)
        return ~_never_empty(context, asked, layout)[None], asked

    def _blocks(self, layout: Layout, sets: int, share: tuple[float, float], generator: torch.Generator) -> Mask:
        wanted = host_uniform(generator, *share)
        if layout.grid is not None:
            ratios = [1.0] + [host_uniform(generator, *self.aspect) for _ in layout.grid[1:]]
            return boxes(layout, sets, box_size(layout.grid, wanted, ratios), generator)
        if layout.positions is None:
            raise UserError(
                "block_mask needs tokens that lie on a grid or at coordinates, and these lie nowhere; use random_mask"
            )
        return nearest(layout, layout.positions, sets, wanted, generator)


def box_size(grid: tuple[int, ...], share: float, ratios: list[float]) -> tuple[int, ...]:
    """Tokens along each axis of a box of about `share` of the grid, its axes in `ratios` to the grid's."""
    scale = (share / math.prod(ratios)) ** (1 / len(grid))
    return tuple(min(max(round(scale * ratio * size), 1), size) for size, ratio in zip(grid, ratios, strict=True))


def boxes(layout: Layout, sets: int, size: tuple[int, ...], generator: torch.Generator) -> Mask:
    """A box of `size` at a random place of the grid, for each set and sample."""
    assert layout.grid is not None
    samples, device = len(layout.lengths), layout.lengths.tensor.device
    where = torch.ones(sets, samples, *([1] * len(size)), dtype=torch.bool, device=device)
    for axis, (length, extent) in enumerate(zip(layout.grid, size, strict=True)):
        low = torch.randint(length - extent + 1, (sets, samples, 1), generator=generator, device=device)
        place = torch.arange(length, device=device)
        inside = (place >= low) & (place < low + extent)
        shape = [sets, samples] + [1] * len(size)
        shape[2 + axis] = length
        where = where & inside.reshape(shape)
    return Mask(where.reshape(sets, -1), math.prod(size))


def nearest(
    layout: Layout, positions: Float[Tensor, "tokens axes"], sets: int, share: float, generator: torch.Generator
) -> Mask:
    """The `share` of each sample's tokens that lie nearest to a random one of them, for each set."""
    lengths, owners = layout.lengths, layout.lengths.owners()
    draws = torch.rand(sets, len(lengths), generator=generator, device=positions.device)
    centre = lengths.starts() + (draws * lengths.tensor).long().clamp(max=(lengths.tensor - 1).clamp(min=0))
    far = (positions - positions[centre[:, owners]]).abs().amax(-1)
    counts = (share * lengths.tensor).round().long().clamp(min=1)
    # sort by sample, then by distance: two stable sorts
    order = far.argsort(stable=True, dim=1)
    order = order.gather(1, owners[order].argsort(stable=True, dim=1))
    chosen = lengths.places() < counts[owners]
    where = torch.zeros_like(far, dtype=torch.bool).scatter(1, order, chosen.expand(sets, -1))
    each = None if lengths.each is None else min(max(round(share * lengths.each), 1), lengths.each)
    return Mask(where, each)


def _never_empty(context: Bool[Tensor, "tokens"], asked: Mask, layout: Layout) -> Bool[Tensor, "tokens"]:
    """A sample whose asked blocks cover its whole context shows one token all the same."""
    lengths = layout.lengths
    owners = lengths.owners()
    shown = torch.zeros_like(lengths.tensor).index_add(0, owners, context.long())
    # the token asked for least often, the earliest of those: it is asked by the fewest sets if by any
    often = asked.where.sum(0)
    order = (owners * (asked.sets + 1) + often).argsort(stable=True)
    first = torch.zeros_like(context).scatter(0, order, lengths.places() == 0)
    return context | (first & (shown == 0)[owners])
