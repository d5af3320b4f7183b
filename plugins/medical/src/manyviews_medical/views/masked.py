"""A view with patches withheld: cropped and turned first, so that no epoch shows a volume twice in the same way."""

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Bool
from pydantic import Field, PositiveInt
from torch import Tensor

from manyviews.errors import UserError
from manyviews.layout import Layout
from manyviews.mask import Mask
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews.views.choose import choose, rounded
from manyviews_medical.batch import VolumeBatch
from manyviews_medical.views.looks import PLAIN, Looks, changed
from manyviews_medical.views.moves import Moves, moved


class Masked(ViewGenerator):
    """Withholds blocks of patches at random (3D MAE; SimMIM, Xie et al. 2022; blocks of 16³ as in nnssl's MAE).

    Args:
        share: Share of the blocks that are hidden.
        block: Tokens of a block along each axis; it divides the tokens of a view.
        moves: Size, place and direction of the view.
        looks: Changes of the numbers, before anything is hidden; null: none.
    """

    gives = frozenset({Trait.HIDDEN_TOKENS, Trait.ASKED_TOKENS})

    def __init__(
        self,
        *,
        share: Annotated[float, Field(gt=0, lt=1)] = 0.75,
        block: PositiveInt = 1,
        moves: Moves = Moves(),  # noqa: B008 - frozen
        looks: Looks | None = None,
    ) -> None:
        super().__init__()
        self.share, self.block, self.moves, self.looks = share, block, moves, looks or PLAIN

    def forward(self, batch: VolumeBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        shown = moved(batch, self.moves, generator)
        if self.looks != PLAIN:
            shown = shown.showing(changed(shown.voxels, self.looks, generator), shown.known)
        own = self.cut(shown)
        return (View(shown, own, hidden=hidden_blocks(own, self.share, self.block, generator)),)


def hidden_blocks(layout: Layout, share: float, block: int, generator: torch.Generator) -> Mask:
    """Blocks of so many tokens along each axis, a share of them.

    Raises:
        UserError: They do not divide the view.
    """
    lengths, grid = layout.lengths, layout.grid
    if block == 1:
        return choose(lengths, rounded(share, lengths), generator)
    if grid is None or any(cells % block for cells in grid):
        raise UserError(
            f"blocks of {block} tokens do not divide a view of {' x '.join(map(str, grid or ()))}; choose another `views.block`"
        )
    coarse = tuple(cells // block for cells in grid)
    blocks = lengths.map(lambda number: number // block ** len(grid))
    count = rounded(share, blocks)
    assert isinstance(count, int)
    where = _finer(choose(blocks, count, generator).where[0], coarse, block)
    return Mask(where[None], count * block ** len(grid))


def _finer(blocks: Bool[Tensor, "blocks"], coarse: tuple[int, ...], block: int) -> Bool[Tensor, "tokens"]:
    where = blocks.reshape(-1, *coarse)
    for axis in range(len(coarse)):
        where = where.repeat_interleave(block, dim=1 + axis)
    return where.flatten()
