"""A U-Net as an encoder: all of it is pretrained, its decoder too, and a linear layer behind it segments.

Its tokens are cubes of its deepest stride: what the deepest level holds there, and what the decoded map holds in the cube's
voxels. So every objective of the core reaches every weight, and none is left to be learnt from labels alone.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from manyviews.encoding import Encoding
from manyviews.view import View
from manyviews_medical.batch import VolumeBatch
from manyviews_medical.encoder import Scale, VolumeEncoder
from manyviews_medical.nets.conv import CONV, block, up
from manyviews_medical.patches import as_tokens, grid_of, spread
from manyviews_medical.spec import VolumeSpec

WIDEST = 16
"""A level has at most so many times the channels of the first."""


class UNet(VolumeEncoder):
    """A plain 3D U-Net (Çiçek et al. 2016) with GroupNorm, whole volumes of features behind it.

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
        super().__init__(spec, width=width, patch=2 ** (levels - 1))
        axes, widths = spec.axes, [channels * min(2**level, WIDEST) for level in range(levels)]
        self.mask = nn.Parameter(torch.zeros(spec.channels))
        self.down = nn.ModuleList()
        before = spec.channels
        for level, here in enumerate(widths):
            first = block(axes, before, here, stride=1 if level == 0 else 2)
            self.down.append(nn.Sequential(first, *(block(axes, here, here) for _ in range(blocks - 1))))
            before = here
        self.larger = nn.ModuleList(up(axes, deep, here) for here, deep in pairwise(widths))
        self.join = nn.ModuleList(block(axes, 2 * here, here) for here in widths[:-1])
        self.deep = CONV[axes](widths[-1], width, 1)
        self.fine = CONV[axes](channels, width, self.patch, stride=self.patch)
        self.scales = (Scale(1, channels),)

    def forward(self, view: View) -> Encoding:
        return self.both(view)[0]

    def both(self, view: View) -> tuple[Encoding, tuple[Float[Tensor, "samples _ ..."], ...]]:
        """The map is the decoded one, a cell a voxel."""
        deepest, decoded = self._run(view)
        tokens, lengths = as_tokens(self.deep(deepest) + self.fine(decoded)), view.layout.lengths
        return Encoding(tokens, None, lengths, lengths.mean(tokens)), (decoded,)

    def _run(self, view: View) -> tuple[Tensor, Tensor]:
        """The deepest map and the decoded one."""
        batch: VolumeBatch = view.batch
        x = batch.scaled(self.mask.dtype).voxels
        if view.hidden is not None:
            where = spread(view.hidden.where[0], grid_of(batch.space, self.patch), self.patch)
            x = torch.where(where, self.mask.reshape(1, -1, *[1] * (x.ndim - 2)), x)
        levels = []
        for level in self.down:
            x = level(x)
            levels.append(x)
        deepest = levels.pop()
        for larger, join, beside in zip(reversed(self.larger), reversed(self.join), reversed(levels), strict=True):
            x = join(torch.cat([larger(x), beside], dim=1))
        return deepest, x
