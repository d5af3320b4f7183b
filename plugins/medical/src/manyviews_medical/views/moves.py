"""How a view's place, direction and size may change, as one section of a recipe; and the changing."""

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Bool, Float
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat
from torch import Tensor

from manyviews.errors import UserError
from manyviews_medical.batch import VolumeBatch
from manyviews_medical.spec import Crop
from manyviews_medical.views.affine import random_matrix, sampled
from manyviews_medical.views.boxes import Box, cropped, random_flip, random_start


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


def moved(batch: VolumeBatch, moves: Moves, generator: torch.Generator) -> VolumeBatch:
    """A view of each crop, scaled."""
    space, samples = batch.space, len(batch)
    size = sides(moves.size, space)
    flip = random_flip(samples, tuple(axis for axis in moves.flip if axis < len(space)), len(space), generator)
    turns = _turns(size, samples, moves, generator)
    start = random_start(space, size, samples, generator)
    if not moves.rotate and moves.scale == (1.0, 1.0):
        return cropped(batch, Box(start, size, flip, turns))
    whole = batch.scaled()
    matrix = random_matrix(samples, len(space), moves.rotate, moves.scale, generator)
    matrix = matrix @ _mirrored(samples, flip, turns, len(space), matrix)
    centre = start + (torch.tensor(size, device=start.device) - 1) / 2
    known = None
    if whole.known is not None:
        known = sampled(whole.known[:, None].to(whole.voxels.dtype), matrix, centre, size, "nearest")[:, 0] > 0.5
    return whole.showing(sampled(whole.voxels, matrix, centre, size), known)


def _turns(size: tuple[int, ...], samples: int, moves: Moves, generator: torch.Generator) -> Tensor | None:
    if not moves.quarter:
        return None
    if size[0] != size[1]:
        raise UserError(
            f"quarter turns need views of equal sides, and these are {size[0]} x {size[1]}; set `size` or `quarter: false`"
        )
    return torch.randint(4, (samples,), generator=generator, device=generator.device)


def _mirrored(
    samples: int, flip: Bool[Tensor, "samples axes"] | None, turns: Tensor | None, axes: int, like: Float[Tensor, "..."]
) -> Float[Tensor, "samples axes axes"]:
    """Flips and quarter turns as matrices."""
    matrix = torch.eye(axes, device=like.device, dtype=like.dtype).repeat(samples, 1, 1)
    if flip is not None:
        matrix = matrix * torch.where(flip, -1.0, 1.0).to(like.dtype)[:, None, :]
    if turns is not None:
        angle = turns.to(like.dtype) * (torch.pi / 2)
        turn = torch.eye(axes, device=like.device, dtype=like.dtype).repeat(samples, 1, 1)
        turn[:, 0, 0], turn[:, 1, 1] = angle.cos(), angle.cos()
        turn[:, 0, 1], turn[:, 1, 0] = angle.sin(), -angle.sin()
        matrix = matrix @ turn
    return matrix
