"""The views of VoCo: base crops that tile a volume, and crops at random places that overlap them."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from pydantic import PositiveInt
from torch import Tensor

from manyviews.layout import Layout
from manyviews.moving import constant
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews_medical.batch import VolumeBatch
from manyviews_medical.objectives.voco import Overlaps
from manyviews_medical.spec import Crop
from manyviews_medical.views.boxes import Box, random_start, take
from manyviews_medical.views.looks import Looks, changed
from manyviews_medical.views.moves import sides


class VoCoCrops(ViewGenerator):
    """As many base crops as tile the source's crop, and random ones, with how much of each random one lies in each base
    (Wu et al. 2024).

    All crops of a batch are one view: of each sample its bases, x outermost, then its random crops.

    Args:
        size: Voxels of a crop; null: half of the source's crop along the first two axes and all of the last, four bases (16 as
            published: a quarter).
        randoms: Random crops of each sample.
        looks: Changes of the numbers, drawn for each crop.
    """

    gives = frozenset({Trait.PRETEXT_TARGET})
    target = Overlaps

    def __init__(self, *, size: Crop | None = None, randoms: PositiveInt = 4, looks: Looks = Looks()) -> None:  # noqa: B008
        super().__init__()
        self.size, self.randoms, self.looks = size, randoms, looks

    def forward(self, batch: VolumeBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        whole = batch.scaled()
        size = sides(self.size, whole.space) if self.size is not None else _halves(whole.space)
        bases = base_starts(whole.space, size, generator.device)
        drawn = random_start(whole.space, size, len(batch) * self.randoms, generator).reshape(len(batch), self.randoms, -1)
        starts = torch.cat([bases.expand(len(batch), -1, -1), drawn], dim=1)
        each = starts.shape[1]
        box = Box(starts.flatten(0, 1), size)
        crops = take(whole.voxels.repeat_interleave(each, dim=0), box)
        known = None if whole.known is None else take(whole.known[:, None].repeat_interleave(each, dim=0), box)[:, 0]
        shown = VolumeBatch(changed(crops, self.looks, generator), None, None, whole.clip, known)
        return (View(shown, self.cut(shown), target=Overlaps(overlaps(drawn, bases, size))),)


def base_starts(space: tuple[int, ...], size: tuple[int, ...], device: torch.device) -> Int[Tensor, "bases axes"]:
    """Where the base crops begin: as many as fit side by side, spread evenly."""
    each = []
    for whole, part in zip(space, size, strict=True):
        count = whole // part
        step = part if count == 1 else (whole - part) // (count - 1)
        each.append(torch.arange(count, device=device) * step)
    return torch.cartesian_prod(*each)


def overlaps(
    drawn: Int[Tensor, "samples randoms axes"], bases: Int[Tensor, "bases axes"], size: tuple[int, ...]
) -> Float[Tensor, "samples randoms bases"]:
    """The share of each random crop that lies in each base (Wu 2024, section 3.2)."""
    sides = constant(size, drawn.device)
    common = (sides - (drawn[:, :, None] - bases).abs()).clamp(min=0)
    return (common / sides).prod(-1)


def _halves(space: tuple[int, ...]) -> tuple[int, ...]:
    return (*(side // 2 for side in space[:2]), *space[2:])
