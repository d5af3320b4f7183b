"""A U-Net as an encoder."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from manyviews_medical.nets.conv import block, up
from manyviews_medical.spec import VolumeSpec
from manyviews_medical.ushaped import UShaped

WIDEST = 16
"""A level has at most so many times the channels of the first."""


class UNet(UShaped):
    """A plain 3D U-Net (Çiçek et al. 2016) with GroupNorm; all of it is pretrained, its decoder too.

    Args:
        width: Width of a token.
        channels: Channels at the finest level; twice as many at each deeper one.
        levels: Levels; a token is 2^(levels-1) voxels a side.
        blocks: Convolutions of a level on the way down.
    """

    def __init__(
        self,
        spec: VolumeSpec,
        /,
        *,
        width: PositiveInt = 128,
        channels: PositiveInt = 16,
        levels: Annotated[int, Field(ge=2, le=6)] = 4,
        blocks: PositiveInt = 2,
    ) -> None:
        axes, widths = spec.axes, [channels * min(2**level, WIDEST) for level in range(levels)]
        super().__init__(spec, width=width, patch=2 ** (levels - 1), deepest=widths[-1], finest=channels)
        self.down = nn.ModuleList()
        before = spec.channels
        for level, here in enumerate(widths):
            first = block(axes, before, here, stride=1 if level == 0 else 2)
            self.down.append(nn.Sequential(first, *(block(axes, here, here) for _ in range(blocks - 1))))
            before = here
        self.larger = nn.ModuleList(up(axes, deep, here) for here, deep in pairwise(widths))
        self.join = nn.ModuleList(block(axes, 2 * here, here) for here in widths[:-1])

    def down_and_up(self, x: Float[Tensor, "samples channels *space"]) -> tuple[Tensor, Tensor]:
        """The deepest map, and the decoded one of a cell a voxel."""
        levels = []
        for level in self.down:
            x = level(x)
            levels.append(x)
        deepest = levels.pop()
        for larger, join, beside in zip(reversed(self.larger), reversed(self.join), reversed(levels), strict=True):
            x = join(torch.cat([larger(x), beside], dim=1))
        return deepest, x
