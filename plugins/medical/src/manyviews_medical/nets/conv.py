"""Convolutions in two and three dimensions under one name."""

from __future__ import annotations

from torch import nn

CONV: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
UP: dict[int, type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]] = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
GROUPS = 8


def norm(width: int) -> nn.Module:
    """GroupNorm: instances and batches of one voxel have no statistics, groups have."""
    groups = next(number for number in range(min(GROUPS, width), 0, -1) if width % number == 0)
    return nn.GroupNorm(groups, width)


def block(axes: int, inwards: int, outwards: int, *, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """Convolution, norm, leaky ReLU, as nnU-Net (Isensee et al. 2021)."""
    conv = CONV[axes](inwards, outwards, kernel, stride=stride, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, norm(outwards), nn.LeakyReLU(0.01))


def up(axes: int, inwards: int, outwards: int) -> nn.Module:
    """Twice as many voxels along each axis."""
    return UP[axes](inwards, outwards, kernel_size=2, stride=2)
