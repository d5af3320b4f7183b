"""The views of Alice: crops around one anatomical place in two volumes, found by a frozen encoder (Jiang et al. 2023)."""

from __future__ import annotations

from typing import Annotated

import torch
from einops import einsum, rearrange
from jaxtyping import Float, Int
from pydantic import Field, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from manyviews.frozen import Frozen
from manyviews.layout import Layout
from manyviews.moving import constant
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews_medical.batch import VolumeBatch
from manyviews_medical.spec import Crop
from manyviews_medical.views.boxes import Box, random_start, take
from manyviews_medical.views.looks import Looks, changed
from manyviews_medical.views.masked import hidden_blocks
from manyviews_medical.views.moves import sides


def partners(volume: Int[Tensor, "samples"], generator: torch.Generator) -> Int[Tensor, "samples"]:
    """For each sample one of another volume at random; where a batch holds none another crop of the same one, else itself."""
    count = len(volume)
    keys = torch.rand(count, count, generator=generator, device=generator.device)
    same, itself = volume[:, None] == volume, torch.eye(count, device=keys.device)
    return (keys - same.to(keys.dtype) - itself).argmax(1)


def matches(
    tokens: Float[Tensor, "samples cells width"], query: Int[Tensor, "samples tries"], partner: Int[Tensor, "samples"]
) -> tuple[Float[Tensor, "samples tries"], Int[Tensor, "samples tries"]]:
    """The cell of the partner that is most like each cell asked for: cosine and number.

    What all tokens have in common is taken out first: else each is much like every other.
    """
    unit = F.normalize(tokens - tokens.mean((0, 1)), dim=-1)
    asked = unit[torch.arange(len(unit), device=unit.device)[:, None], query]
    cosine = einsum(asked, unit[partner], "samples tries width, samples cells width -> samples tries cells")
    best = cosine.max(-1)
    return best.values, best.indices


def first_that_agrees(cosine: Float[Tensor, "samples tries"], agree: float) -> Int[Tensor, "samples"]:
    """The first try whose cosine reaches `agree`; the best one where none does."""
    tries = cosine.shape[1]
    order = 3 - torch.arange(tries, device=cosine.device) / tries  # above every cosine
    return torch.where(cosine >= agree, order.to(cosine.dtype), cosine).argmax(1)


class Correspondence(ViewGenerator):
    """Two masked crops of each sample: around a place of its own, and around the same anatomy in another volume of the batch.

    Where that is, the tokens of an encoder pretrained before say, the most alike one of the other volume's. Alice has a closed
    embedding for it (SAM, trained by contrast on CT); here it is an encoder of your own, a finished run of `medical/mae` for
    instance, so matches are as good as that. The source's crop is what is searched: let it hold most of the body.

    Args:
        run: Folder of the finished run; null: the same place of both crops, for volumes that lie alike (registered brains).
        size: Voxels of a view; null: half of the source's crop along each axis.
        tries: Places that are tried for each sample (100 as published).
        agree: Cosine from which a match is taken; of tries that all stay below, the best is (.7 as published).
        share: Share of the blocks that are hidden from the student.
        block: Tokens of a hidden block along each axis.
        looks: Changes of the numbers, drawn for each view.
    """

    gives = frozenset({Trait.SEVERAL_VIEWS, Trait.HIDDEN_TOKENS, Trait.ASKED_TOKENS})

    def __init__(
        self,
        *,
        run: str | None = None,
        size: Crop | None = None,
        tries: PositiveInt = 8,
        agree: Annotated[float, Field(ge=-1, le=1)] = 0.7,
        share: Annotated[float, Field(gt=0, lt=1)] = 0.75,
        block: PositiveInt = 1,
        looks: Looks = Looks(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__()
        self.size, self.tries, self.agree, self.share, self.block, self.looks = size, tries, agree, share, block, looks
        if run is not None:
            from manyviews.engine.load import load_frozen  # the engine stands on views, not they on it

            self.frozen = load_frozen(run)

    def forward(self, batch: VolumeBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        whole, samples = batch.scaled(), len(batch)
        size = sides(self.size, whole.space) if self.size is not None else tuple(side // 2 for side in whole.space)
        numbers = torch.arange(samples, device=generator.device)
        partner = partners(numbers if batch.volume is None else batch.volume, generator)
        tries = self.tries if self.frozen else 1
        starts = random_start(whole.space, size, samples * tries, generator)
        starts = rearrange(starts, "(samples tries) axes -> samples tries axes", tries=tries)
        here = there = starts[:, 0]
        if self.frozen is not None:
            here, there = self._found(self.frozen, whole, starts, partner, size)
        views = []
        for start, chosen in ((here, numbers), (there, partner)):
            box = Box(start, size)
            known = None if whole.known is None else take(whole.known[chosen][:, None], box)[:, 0]
            voxels = changed(take(whole.voxels[chosen], box), self.looks, generator)
            shown = VolumeBatch(voxels, None, None, whole.clip, known)
            own = self.cut(shown)
            views.append(View(shown, own, hidden=hidden_blocks(own, self.share, self.block, generator)))
        return tuple(views)

    def _found(
        self,
        frozen: Frozen,
        batch: VolumeBatch,
        starts: Int[Tensor, "samples tries axes"],
        partner: Int[Tensor, "samples"],
        size: tuple[int, ...],
    ) -> tuple[Int[Tensor, "samples axes"], Int[Tensor, "samples axes"]]:
        """Where the two crops of each sample begin."""
        device, (layout, encoding) = starts.device, frozen(batch)
        assert layout.grid is not None
        tokens = encoding.tokens.reshape(len(batch), -1, frozen.encoder.width).float()
        grid, space = constant(layout.grid, device), constant(batch.space, device)
        patch, half = space // grid, constant([side // 2 for side in size], device)
        asked = (starts + half) // patch
        cosine, found = matches(tokens, _flat(asked, layout.grid), partner)
        pick, rows = first_that_agrees(cosine, self.agree), torch.arange(len(batch), device=device)
        moved = starts + (_unflat(found, layout.grid) - asked) * patch
        there = moved[rows, pick].clamp(min=0).minimum(space - constant(size, device))
        return starts[rows, pick], there


def _flat(cells: Int[Tensor, "*places axes"], grid: tuple[int, ...]) -> Int[Tensor, "*places"]:
    number = cells[..., 0]
    for axis in range(1, len(grid)):
        number = number * grid[axis] + cells[..., axis]
    return number


def _unflat(number: Int[Tensor, "*places"], grid: tuple[int, ...]) -> Int[Tensor, "*places axes"]:
    return torch.stack(torch.unravel_index(number, grid), -1)
