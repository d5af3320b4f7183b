"""What encoders of tiles share: pixels standardised on the device, patches, their content as targets, hidden tokens."""

from __future__ import annotations

import math
from abc import ABC
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from manyviews.encoder import Encoder
from manyviews.errors import UserError
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.moving import constant, taken
from manyviews.traits import Trait
from manyviews.view import View
from manyviews_satellite.batch import TileBatch
from manyviews_satellite.groups import Group
from manyviews_satellite.spec import TileSpec

Pool = Literal["mean", "centre", "centre_mean", "each"]
"""What stands for a tile: the mean of all of its tokens; of those of its middle, where a label is that of the middle pixel;
both end to end; or both of each date and group of bands, end to end, 0 for one that is missing."""


class TileEncoder(Encoder, ABC):
    """Tokens are patches of `patch` x `patch` pixels, for each date and each group of bands that a batch has any of.

    Tokens of a tile are in the order dates, groups, rows, columns. Content is asked for in all bands of the largest
    group: NaN where a group has fewer, where a band is missing, and where nothing was seen.
    """

    offers = frozenset({Trait.HIDES_TOKENS, Trait.PLACED_TOKENS, Trait.TOKEN_TARGETS, Trait.FEATURE_MAPS})

    def __init__(self, spec: TileSpec, *, width: int, patch: int, groups: tuple[Group, ...], pool: Pool = "mean") -> None:
        super().__init__()
        self.spec, self.width, self.patch, self.groups, self.pool = spec, width, patch, groups, pool
        self.target_channels = max(len(group.bands) for group in groups) * patch**2

    @property
    def dtype(self) -> torch.dtype:
        """Of its parameters."""
        return next(self.parameters()).dtype

    def layout(self, batch: TileBatch) -> Layout:
        rows, cols = self.patches(batch)
        grid = (batch.dates, len(self.present(batch)), rows, cols)
        lengths = Lengths.equal(len(batch), batch.dates * grid[1] * rows * cols, batch.pixels.device)
        # Axes along which all tokens stand at one place tell nothing.
        return Layout(lengths, grid=(*(size for size in grid[:2] if size > 1), rows, cols))

    def patches(self, batch: TileBatch) -> tuple[int, int]:
        """Rows and columns of patches.

        Raises:
            UserError: The tiles do not divide into patches.
        """
        rows, cols = batch.pixels.shape[-2:]
        if rows % self.patch or cols % self.patch:
            raise UserError(
                f"encoder.patch: tiles of {rows} x {cols} pixels do not divide into patches of {self.patch} x {self.patch}; "
                "choose data.tile (or the crops' size) as a multiple of it"
            )
        return rows // self.patch, cols // self.patch

    def present(self, batch: TileBatch) -> list[tuple[int, list[int]]]:
        """The groups that a batch has bands of, and where those stand in it.

        Raises:
            UserError: There is none.
        """
        found = [(number, group.places(batch.bands)) for number, group in enumerate(self.groups)]
        if not any(places for _, places in found):
            raise UserError("the tiles have none of the bands that the encoder reads")
        return [(number, places) for number, places in found if places]

    def targets(self, batch: TileBatch, tokens: Int[Tensor, "asked"]) -> Float[Tensor, "asked channels"]:
        content, patch = batch.content(self.spec), self.patch
        parts = []
        most = max(len(group.bands) for group in self.groups)
        for number, places in self.present(batch):
            bands = self.groups[number].bands
            whole = content.new_full((*content.shape[:2], most, *content.shape[3:]), torch.nan)
            own = constant([bands.index(batch.bands[place]) for place in places], content.device, torch.long)
            parts.append(whole.index_copy(2, own, taken(content, 2, places)))
        every = torch.stack(parts, dim=2)
        cells = rearrange(every, "b d g c (h p) (w q) -> (b d g h w) (p q c)", p=patch, q=patch)
        return cells[tokens]

    @property
    def pooled_width(self) -> int:
        if self.pool == "each":
            return 2 * self.width * self._dates * len(self.groups)
        return 2 * self.width if self.pool == "centre_mean" else self.width

    @property
    def _dates(self) -> int:
        """Dates of a sample."""
        return max(self.spec.windows.dates, len(self.spec.windows.pairs), 1)

    def pooled(
        self, tokens: Float[Tensor, "present width"], present: Int[Tensor, "present"] | None, lengths: Lengths, batch: TileBatch
    ) -> Float[Tensor, "tiles pooled_width"]:
        """What stands for a tile, see `Pool`; where no token is shown that it asks for, the mean of those that are."""
        mean = lengths.mean(tokens)
        if self.pool == "mean":
            return mean
        (rows, cols), groups = self.patches(batch), self.present(batch)
        shape = (len(batch), batch.dates, len(groups), rows, cols)
        seen = tokens.new_ones(len(tokens), 1)
        if present is not None:
            tokens, seen = (x.new_zeros(math.prod(shape), x.shape[1]).index_copy(0, present, x) for x in (tokens, seen))
        cells, seen = tokens.reshape(*shape, -1), seen.reshape(*shape, 1)
        # An odd number of patches has one in the middle; of an even one the middle pixel is the first of the second half.
        middle, shown = (x[:, :, :, rows // 2, cols // 2] for x in (cells, seen))
        if self.pool != "each":
            centre = _mean_or(middle.sum((1, 2)), shown.sum((1, 2)), mean)
            return centre if self.pool == "centre" else torch.cat([centre, mean], dim=-1)
        means = _mean_or(cells.sum((3, 4)), seen.sum((3, 4)), mean[:, None, None])
        both = torch.cat([_mean_or(middle, shown, mean[:, None, None]), means], dim=-1)
        every = both.new_zeros(len(batch), self._dates, len(self.groups), both.shape[-1])
        numbers = constant([number for number, _ in groups], both.device, torch.long)
        every[:, : batch.dates] = every[:, : batch.dates].index_copy(2, numbers, both)
        return every.flatten(1)

    def maps(self, view: View) -> tuple[Float[Tensor, "tiles width rows cols"], ...]:
        """The tokens as a map of patches; dates and groups of bands are averaged."""
        return (self.folded(self(view).tokens, view.batch),)

    def folded(self, tokens: Float[Tensor, "tokens width"], batch: TileBatch) -> Float[Tensor, "tiles width rows cols"]:
        """Tokens, all of them there, over rows and columns of patches."""
        rows, cols = self.patches(batch)
        cells = rearrange(tokens, "(b sets h w) width -> b sets width h w", b=len(batch), h=rows, w=cols)
        return cells.mean(1)

    def withheld(self, view: View) -> Bool[Tensor, "tiles dates groups rows cols"] | None:
        """Where tokens are hidden."""
        if view.hidden is None:
            return None
        rows, cols = self.patches(view.batch)
        return view.hidden.where[0].reshape(len(view.batch), view.batch.dates, -1, rows, cols)


def _mean_or(total: Tensor, count: Tensor, otherwise: Tensor) -> Tensor:
    """A sum over its count, and where that is 0 something else."""
    return torch.where(count > 0, total / count.clamp(min=1), otherwise)
