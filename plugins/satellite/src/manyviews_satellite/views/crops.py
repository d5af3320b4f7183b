"""Crops of a whole batch at once: place, size, turn and mirror of each tile in one resampling."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from manyviews_satellite.batch import TileBatch

SEEN = 0.99
"""Weight of valid pixels from which a resampled one is valid."""


def cropped(batch: TileBatch, size: int, share: Float[Tensor, "tiles"], turn: bool, generator: torch.Generator) -> TileBatch:
    """A square of each tile at a random place, resampled to `size` pixels, all dates alike.

    Args:
        batch: Standardised.
        size: Rows and columns of the crops.
        share: Side of each crop, as a share of the tile's.
        turn: Turn it by quarters and mirror it, at random.
        generator: On the batch's device.
    """
    tiles, dates = len(batch), batch.dates
    device = batch.pixels.device
    centre = (1 - share)[:, None] * (2 * torch.rand(tiles, 2, generator=generator, device=device) - 1)
    linear = torch.eye(2, device=device).repeat(tiles, 1, 1)
    if turn:
        quarter = torch.randint(4, (tiles,), generator=generator, device=device) * (math.pi / 2)
        mirror = 1 - 2 * torch.randint(2, (tiles,), generator=generator, device=device).float()
        cos, sin = quarter.cos().round(), quarter.sin().round()
        linear = torch.stack([torch.stack([mirror * cos, -sin], 1), torch.stack([mirror * sin, cos], 1)], 1)
    theta = torch.cat([linear * share[:, None, None], centre[:, :, None]], dim=2)
    theta = repeat(theta, "tiles two three -> (tiles dates) two three", dates=dates)
    pixels = rearrange(batch.pixels, "b d c h w -> (b d) c h w")
    grid = F.affine_grid(theta.to(pixels.dtype), [len(theta), 1, size, size], align_corners=False)
    found = F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
    valid = batch.valid
    if valid is not None:
        seen = rearrange(valid, "b d h w -> (b d) 1 h w").to(pixels.dtype)
        seen = F.grid_sample(seen, grid, padding_mode="border", align_corners=False) > SEEN
        found = torch.where(seen, found, found.new_zeros(()))
        valid = rearrange(seen, "(b d) 1 h w -> b d h w", d=dates)
    metres = batch.metres * share * (batch.pixels.shape[-1] / size)
    return replace(batch, pixels=rearrange(found, "(b d) c h w -> b d c h w", d=dates), valid=valid, metres=metres)
