"""The views of Volume Fusion: two crops of a volume, mixed box by box."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field, PositiveInt
from torch import Tensor

from manyviews.layout import Layout
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews.views.draws import host_uniform
from manyviews.views.ranges import refuse_descending
from manyviews_medical.batch import VolumeBatch
from manyviews_medical.objectives.volume_fusion import FusionMap
from manyviews_medical.views.looks import PLAIN, Looks, changed
from manyviews_medical.views.moves import Moves, moved

Share = Annotated[float, Field(ge=0, le=1)]


class Fusion(ViewGenerator):
    """Foreground and background are two altered crops of one volume; boxes of it are mixed in steps (Wang et al. 2023, MIS-FM).

    `mixing: grid` is the official code: the crop is cut into a grid of blocks of one random size, of which a share is
    mixed, each by a
    step of its own. `mixing: boxes` is the paper's section 3.2: boxes of random sizes at random places, one over another.

    Args:
        mixing: `grid` (the authors' code) or `boxes` (the paper).
        steps: Steps of the ladder from background to foreground, ends included.
        block: `grid`: range of a block's sides, in voxels. The authors' 5-20 x 8-32 x 8-32 of 64 x 128 x 128 are a sixteenth to
            a third of the crop.
        share: `grid`: share of the blocks that are mixed.
        boxes: `boxes`: range of their number.
        sides: `boxes`: range of a box's sides, as shares of the crop's. The paper's 8-40 x 8-80 x 8-80 of 64 x 128 x 128
            voxels.
        other: The background is another crop of the same volume, or of another one of the batch, where it has one.
        moves: Size, place and direction of both crops.
        looks: Changes of their numbers.
    """

    gives = frozenset({Trait.PRETEXT_TARGET})
    target = FusionMap

    def __init__(
        self,
        *,
        mixing: Literal["grid", "boxes"] = "grid",
        steps: Annotated[PositiveInt, Field(ge=2)] = 5,
        block: tuple[PositiveInt, PositiveInt] = (8, 32),
        share: Annotated[float, Field(gt=0, le=1)] = 0.7,
        boxes: tuple[PositiveInt, PositiveInt] = (10, 40),
        sides: tuple[Share, Share] = (0.1, 0.6),
        other: Literal["crop", "volume"] = "crop",
        moves: Moves = Moves(),  # noqa: B008 - frozen
        looks: Looks = Looks(noise=0.0, blur=None),  # noqa: B008 - frozen
    ) -> None:
        super().__init__()
        whole = {name: (float(low), float(high)) for name, (low, high) in {"block": block, "boxes": boxes}.items()}
        refuse_descending(**whole, sides=sides)
        self.mixing, self.steps, self.block, self.share, self.boxes, self.sides = mixing, steps, block, share, boxes, sides
        self.other, self.moves, self.looks = other, moves, looks

    def forward(self, batch: VolumeBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        whole = batch.scaled()
        front, behind = (self._altered(whole, generator) for _ in range(2))
        if self.other == "volume":
            behind = behind.showing(behind.voxels.roll(1, 0), None if behind.known is None else behind.known.roll(1, 0))
        steps = self._map(front, generator)
        ratio = (steps.to(front.voxels.dtype) / (self.steps - 1))[:, None]
        known = None if front.known is None or behind.known is None else front.known | behind.known
        mixed = front.showing(ratio * front.voxels + (1 - ratio) * behind.voxels, known)
        return (View(mixed, self.cut(mixed), target=FusionMap(steps, self.steps, known)),)

    def _altered(self, whole: VolumeBatch, generator: torch.Generator) -> VolumeBatch:
        crop = moved(whole, self.moves, generator)
        return crop if self.looks == PLAIN else crop.showing(changed(crop.voxels, self.looks, generator), crop.known)

    def _map(self, like: VolumeBatch, generator: torch.Generator) -> Int[Tensor, "samples *space"]:
        if self.mixing == "grid":
            return grid_map(like.voxels, self.steps, self.block, self.share, generator)
        count = round(host_uniform(generator, float(self.boxes[0]), float(self.boxes[1])))
        return box_map(like.voxels, self.steps, count, self.sides, generator)


def grid_map(
    like: Float[Tensor, "samples channels *space"], steps: int, block: tuple[int, int], share: float, generator: torch.Generator
) -> Int[Tensor, "samples *space"]:
    """A step for each block of a grid; 0 (background) for those that are not mixed. Sides of a block and where the grid begins
    are drawn once a batch: borders that always lay at one place would tell the answer without a look at the volume."""
    space, device = like.shape[2:], like.device
    sides = [min(round(host_uniform(generator, float(block[0]), float(block[1]))), whole) for whole in space]
    begins = [int(host_uniform(generator, 0.0, float(side))) % side for side in sides]
    counts = [-(-(whole + begin) // side) for whole, begin, side in zip(space, begins, sides, strict=True)]
    blocks = torch.randint(1, steps, (len(like), *counts), generator=generator, device=device)
    blocks = blocks * (torch.rand(blocks.shape, generator=generator, device=device) < share)
    for axis, (whole, begin, side) in enumerate(zip(space, begins, sides, strict=True)):
        blocks = blocks.index_select(1 + axis, (torch.arange(whole, device=device) + begin) // side)
    return blocks


def box_map(
    like: Float[Tensor, "samples channels *space"],
    steps: int,
    count: int,
    sides: tuple[float, float],
    generator: torch.Generator,
) -> Int[Tensor, "samples *space"]:
    """Boxes at random places, each of a step of its own, later ones over earlier ones; 0 (background) beside them."""
    space, samples, device = like.shape[2:], len(like), like.device
    found = torch.zeros(samples, *space, dtype=torch.long, device=device)
    for _ in range(count):
        inside = torch.ones(samples, *[1] * len(space), dtype=torch.bool, device=device)
        for axis, whole in enumerate(space):
            draws = torch.rand(2, samples, *[1] * len(space), generator=generator, device=device)
            side = ((sides[0] + (sides[1] - sides[0]) * draws[0]) * whole).round().clamp(1, whole)
            low = (draws[1] * (whole - side + 1)).floor()
            shape = [1] * (1 + len(space))
            shape[1 + axis] = whole
            place = torch.arange(whole, device=device).reshape(shape)
            inside = inside & (place >= low) & (place < low + side)
        step = torch.randint(1, steps, (samples, *[1] * len(space)), generator=generator, device=device)
        found = torch.where(inside, step, found)
    return found
