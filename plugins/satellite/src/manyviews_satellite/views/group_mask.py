"""Masks over groups of bands: the same places in all groups, or whole groups."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from jaxtyping import Bool
from pydantic import Field
from torch import Tensor

from manyviews.layout import Layout
from manyviews.mask import Mask
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews_satellite.batch import TileBatch

Share = Annotated[float, Field(gt=0, lt=1)]


class GroupMask(ViewGenerator):
    """Withholds patches of tiles whose bands stand in groups. Each patch of each group for itself is the core's `random_mask`.

    Args:
        share: Share of the tokens to hide.
        by: `place`: the same places in all groups and dates (SatMAE's consistent masking, which closes the way of copying from
            another group); `group`: whole groups of bands, of the tiles' own choice.
    """

    gives = frozenset({Trait.HIDDEN_TOKENS, Trait.ASKED_TOKENS})
    needs = frozenset({Trait.PLACED_TOKENS})

    def __init__(self, *, share: Share = 0.75, by: Literal["place", "group"] = "place") -> None:
        super().__init__()
        self.share, self.by = share, by

    def forward(self, batch: TileBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        assert layout.grid is not None
        *sets, rows, cols = layout.grid
        groups = 1
        for size in sets:
            groups *= size
        alike = self.by == "place" or groups == 1  # a single group cannot be hidden whole
        hidden = _chosen(len(batch), rows * cols if alike else groups, self.share, generator)
        wide = hidden[:, None, :].expand(-1, groups, -1) if alike else hidden[:, :, None].expand(-1, -1, rows * cols)
        each = _count(hidden.shape[1], self.share) * (groups if alike else rows * cols)
        return (View(batch, layout, Mask(wide.reshape(1, -1), each)),)


def _count(number: int, share: float) -> int:
    return min(max(round(share * number), 1), max(number - 1, 0))


def _chosen(tiles: int, number: int, share: float, generator: torch.Generator) -> Bool[Tensor, "tiles number"]:
    keys = torch.rand(tiles, number, generator=generator, device=generator.device)
    return keys.argsort(1).argsort(1) < _count(number, share)
