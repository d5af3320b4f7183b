"""Turned, stretched and cropped at once: one interpolation a view, for a whole batch."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from manyviews.moving import constant

AT_ONCE = 2**15
"""Voxels whose coordinates a CPU holds at once: of a whole batch they would take seven times the room of the views."""


def rotations(angles: Float[Tensor, "samples turns"], axes: int) -> Float[Tensor, "samples axes axes"]:
    """Rotation matrices: one angle in the plane, three about x, y and z in space, in radians."""
    samples = len(angles)
    matrix = torch.eye(axes, device=angles.device, dtype=angles.dtype).repeat(samples, 1, 1)
    planes = [(0, 1)] if axes == 2 else [(1, 2), (0, 2), (0, 1)]
    for number, (one, two) in enumerate(planes):
        turn = torch.eye(axes, device=angles.device, dtype=angles.dtype).repeat(samples, 1, 1)
        cos, sin = angles[:, number].cos(), angles[:, number].sin()
        turn[:, one, one], turn[:, two, two] = cos, cos
        turn[:, one, two], turn[:, two, one] = -sin, sin
        matrix = turn @ matrix
    return matrix


def random_matrix(
    samples: int, axes: int, degrees: float, scale: tuple[float, float], generator: torch.Generator
) -> Float[Tensor, "samples axes axes"]:
    """A rotation of up to `degrees` about each axis, and a scaling alike along all."""
    turns = 1 if axes == 2 else 3
    draws = torch.rand(samples, turns + 1, generator=generator, device=generator.device)
    angles = (2 * draws[:, :turns] - 1) * math.radians(degrees)
    factor = scale[0] + (scale[1] - scale[0]) * draws[:, -1]
    return rotations(angles, axes) * factor[:, None, None]


def sampled(
    volume: Float[Tensor, "samples channels *space"],
    matrix: Float[Tensor, "samples axes axes"],
    centre: Float[Tensor, "samples axes"],
    size: tuple[int, ...],
    mode: str = "bilinear",
) -> Float[Tensor, "samples channels *size"]:
    """A box of `size` voxels around `centre` (in voxels), voxel u of it read at `centre + matrix @ (u - middle)`; 0
    beyond the edge."""
    space = constant(volume.shape[2:], volume.device, volume.dtype)
    half = constant(size, volume.device, volume.dtype) / 2
    theta = matrix.to(volume.dtype) * half / (space[:, None] / 2)
    middle = (centre.to(volume.dtype) + 0.5) * 2 / space - 1
    # torch writes coordinates from the last axis to the first
    both = torch.cat([theta.flip(1, 2), middle.flip(1)[:, :, None]], dim=2)
    each = max(AT_ONCE // math.prod(size), 1) if volume.device.type == "cpu" else max(len(volume), 1)
    if len(volume) <= each:
        return _read(volume, both, size, mode)
    found = volume.new_empty(*volume.shape[:2], *size)
    for start in range(0, len(volume), each):
        part = slice(start, start + each)
        found[part] = _read(volume[part], both[part], size, mode)
    return found


def _read(volume: Tensor, theta: Float[Tensor, "samples axes columns"], size: tuple[int, ...], mode: str) -> Tensor:
    grid = F.affine_grid(theta, [len(volume), volume.shape[1], *size], align_corners=False)
    return F.grid_sample(volume, grid, mode=mode, padding_mode="zeros", align_corners=False)
