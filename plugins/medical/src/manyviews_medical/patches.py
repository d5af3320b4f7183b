"""Volumes cut into patches: what a token of every encoder here stands for, whatever made it."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from manyviews.errors import UserError
from manyviews.view import View
from manyviews_medical.batch import VolumeBatch

CUT = {
    2: "b c (x px) (y py) -> (b x y) (c px py)",
    3: "b c (x px) (y py) (z pz) -> (b x y z) (c px py pz)",
}
NAMES = {2: ("px", "py"), 3: ("px", "py", "pz")}


def grid_of(space: tuple[int, ...], patch: int) -> tuple[int, ...]:
    """Patches along each axis.

    Raises:
        UserError: The patches do not fill the crop.
    """
    if any(side % patch for side in space):
        raise UserError(
            f"a crop of {' x '.join(map(str, space))} voxels does not divide into tokens of {patch} a side; "
            f"choose multiples of {patch} for `data.crop` and for the sizes of views"
        )
    return tuple(side // patch for side in space)


def cut(volume: Shaped[Tensor, "samples channels *space"], patch: int) -> Shaped[Tensor, "tokens content"]:
    """The voxels of each patch end to end, patches of a sample in the order of x, y, z."""
    axes = volume.ndim - 2
    return rearrange(volume, CUT[axes], **dict.fromkeys(NAMES[axes], patch))


def content(batch: VolumeBatch, patch: int, tokens: Int[Tensor, "asked"]) -> Float[Tensor, "asked content"]:
    """The scaled voxels of some patches; NaN where nothing is known."""
    scaled = batch.scaled()
    found: Tensor = cut(scaled.voxels, patch)[tokens]
    if scaled.known is None:
        return found
    known = cut(scaled.known[:, None].expand(scaled.voxels.shape), patch)[tokens]
    return torch.where(known, found, torch.nan)


def spread(tokens: Bool[Tensor, "tokens"], grid: tuple[int, ...], patch: int) -> Bool[Tensor, "samples 1 *space"]:
    """What is said of patches, said of their voxels."""
    of_grid = tokens.reshape(-1, 1, *grid)
    for axis in range(len(grid)):
        of_grid = of_grid.repeat_interleave(patch, dim=2 + axis)
    return of_grid


def as_map(tokens: Float[Tensor, "tokens width"], grid: tuple[int, ...]) -> Float[Tensor, "samples width *grid"]:
    """The tokens of whole samples as maps."""
    return tokens.reshape(-1, *grid, tokens.shape[1]).movedim(-1, 1)


def as_tokens(features: Float[Tensor, "samples width *grid"]) -> Float[Tensor, "tokens width"]:
    """The inverse of `as_map`."""
    return features.movedim(1, -1).flatten(0, -2)


def withheld(view: View, mask: Float[Tensor, "channels"], patch: int) -> Float[Tensor, "samples channels *space"]:
    """The scaled voxels of a view, those of hidden tokens exchanged for `mask`: what nets that keep every place are shown."""
    batch: VolumeBatch = view.batch.scaled(mask.dtype)
    if view.hidden is None:
        return batch.voxels
    where = spread(view.hidden.where[0], grid_of(batch.space, patch), patch)
    return torch.where(where, mask.reshape(1, -1, *[1] * len(batch.space)), batch.voxels)
