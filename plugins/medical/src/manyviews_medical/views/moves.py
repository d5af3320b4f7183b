"""How a view's place, direction and size may change, as one section of a recipe; and the changing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Shaped
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat
from torch import Tensor

from manyviews.errors import UserError
from manyviews.moving import constant
from manyviews_medical.batch import VolumeBatch
from manyviews_medical.spec import Crop
from manyviews_medical.views.affine import random_matrix, sampled
from manyviews_medical.views.boxes import Box, random_flip, random_start, take


class Moves(BaseModel):
    """Where and how a view is taken out of a crop."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: Crop | None = None
    """Voxels of a view; None: the whole crop."""
    flip: tuple[Annotated[int, Field(ge=0, le=2)], ...] = (0, 1, 2)
    """Axes that are flipped by a coin's toss; 0 is left to right where volumes are turned to RAS."""
    quarter: bool = False
    """Quarter turns in the plane of the first two axes."""
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Most degrees about each axis."""
    scale: tuple[PositiveFloat, PositiveFloat] = (1.0, 1.0)
    """Range of the size of what a view shows, in its own: 1.2 shows a fifth more, smaller."""


@dataclass(frozen=True)
class Placement:
    """Where the views of a batch were drawn to lie."""

    box: Box
    matrix: Float[Tensor, "samples axes axes"] | None
    """Turned and stretched; None: voxels are moved and none is computed."""

    def of(self, volume: Shaped[Tensor, "samples channels *space"], mode: str = "bilinear") -> Tensor:
        """The views of a batch of volumes; 0 beyond their edge."""
        if self.matrix is None:
            return take(volume, self.box)
        centre = self.box.start + (constant(self.box.size, volume.device) - 1) / 2
        return sampled(volume, self.matrix, centre, self.box.size, mode)

    def known(self, known: Bool[Tensor, "samples *space"]) -> Bool[Tensor, "samples *size"]:
        """What is known of the views."""
        if self.matrix is None:
            return take(known[:, None], self.box)[:, 0]
        return self.of(known[:, None].to(self.matrix.dtype), "nearest")[:, 0] > 0.5

    def label(self, label: Shaped[Tensor, "samples *space"]) -> Shaped[Tensor, "samples *size"]:
        """A segmentation, moved alike; -1 beyond the edge."""
        if self.matrix is None:
            return take(label[:, None], self.box)[:, 0]
        return self.of((label[:, None] + 1).to(self.matrix.dtype), "nearest")[:, 0].round().to(label.dtype) - 1


def sides(size: Crop | None, space: tuple[int, ...]) -> tuple[int, ...]:
    """The size of a view of a crop.

    Raises:
        UserError: It is larger than the crop, or of other axes.
    """
    if size is None:
        return space
    wanted = tuple(size) if isinstance(size, tuple) else (size,) * len(space)
    if len(wanted) != len(space) or any(part > whole for part, whole in zip(wanted, space, strict=True)):
        raise UserError(
            f"views of {' x '.join(map(str, wanted))} voxels do not fit into crops of {' x '.join(map(str, space))}; "
            "set the views' `size` or `data.crop`"
        )
    return wanted


def draw(batch: VolumeBatch, moves: Moves, generator: torch.Generator) -> Placement:
    """Where the views of a batch lie."""
    space, samples = batch.space, len(batch)
    size = sides(moves.size, space)
    flip = random_flip(samples, tuple(axis for axis in moves.flip if axis < len(space)), len(space), generator)
    turns = _turns(size, samples, moves, generator)
    box = Box(random_start(space, size, samples, generator), size, flip, turns)
    if not moves.rotate and moves.scale == (1.0, 1.0):
        return Placement(box, None)
    matrix = random_matrix(samples, len(space), moves.rotate, moves.scale, generator)
    return Placement(box, matrix @ _mirrored(box, matrix))


def moved(batch: VolumeBatch, moves: Moves, generator: torch.Generator) -> VolumeBatch:
    """A view of each crop, scaled."""
    whole = batch.scaled()
    placement = draw(whole, moves, generator)
    known = None if whole.known is None else placement.known(whole.known)
    return whole.showing(placement.of(whole.voxels), known)


def _turns(size: tuple[int, ...], samples: int, moves: Moves, generator: torch.Generator) -> Tensor | None:
    if not moves.quarter:
        return None
    if size[0] != size[1]:
        raise UserError(
            f"quarter turns need views of equal sides, and these are {size[0]} x {size[1]}; set `size` or `quarter: false`"
        )
    return torch.randint(4, (samples,), generator=generator, device=generator.device)


def _mirrored(box: Box, like: Float[Tensor, "samples axes axes"]) -> Float[Tensor, "samples axes axes"]:
    """Flips and quarter turns as matrices."""
    matrix = torch.eye(like.shape[1], device=like.device, dtype=like.dtype).expand(like.shape).clone()
    if box.flip is not None:
        matrix = matrix * torch.where(box.flip, -1.0, 1.0).to(like.dtype)[:, None, :]
    if box.turns is not None:
        angle = box.turns.to(like.dtype) * (torch.pi / 2)
        turn = torch.eye(like.shape[1], device=like.device, dtype=like.dtype).expand(like.shape).clone()
        turn[:, 0, 0], turn[:, 1, 1] = angle.cos(), angle.cos()
        turn[:, 0, 1], turn[:, 1, 0] = angle.sin(), -angle.sin()
        matrix = matrix @ turn
    return matrix
