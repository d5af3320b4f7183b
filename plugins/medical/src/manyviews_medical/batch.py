"""What a source of volumes hands to its encoders: crops of one size, in the type that they are stored in.

A crop travels as it was read; `scaled` brings it to the numbers that nets see, a whole batch at a time and where the batch
is then: bytes go over the bus, not floats, and nothing is scaled that no view shows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from manyviews.moving import moved
from manyviews_medical.grid import Grid


@dataclass(frozen=True)
class VolumeBatch:
    """Crops of volumes. `space` is x y z (right, anterior, superior where turned so), or two of them."""

    voxels: Shaped[Tensor, "samples channels *space"]
    """As stored, or, where `low` is None, scaled."""
    low: Float[Tensor, "samples channels"] | None
    """The stored number that becomes 0."""
    high: Float[Tensor, "samples channels"] | None
    """The stored number that becomes 1."""
    clip: bool = True
    """Whether scaled numbers end at 0 and 1."""
    known: Bool[Tensor, "samples *space"] | None = None
    """False beyond the volume's edge and where voxels were made unrecognisable: kept out of losses. None: all are known."""
    centre: Float[Tensor, "samples axes"] | None = None
    """Where the crop's centre lies in its volume, from 0 to 1 along each axis."""
    volume: Int[Tensor, "samples"] | None = None
    """The volume that each crop is of, as a number."""
    grids: tuple[Grid, Grid] | None = None
    """Of a whole volume: the grid that it is on, and that of its file."""

    def __len__(self) -> int:
        return self.voxels.shape[0]

    @property
    def space(self) -> tuple[int, ...]:
        """Voxels along each axis."""
        return tuple(self.voxels.shape[2:])

    def scaled(self, dtype: torch.dtype | None = None) -> VolumeBatch:
        """Floating point, 0 at `low` and 1 at `high`; `self` where that is done."""
        if self.low is None or self.high is None:
            return self if dtype is None or self.voxels.dtype == dtype else replace(self, voxels=self.voxels.to(dtype))
        dtype = dtype or (self.voxels.dtype if self.voxels.is_floating_point() else torch.float32)
        shape = (*self.low.shape, *[1] * len(self.space))
        low, high = self.low.to(dtype).reshape(shape), self.high.to(dtype).reshape(shape)
        # New, so that the rest needs no further copies of a batch; whole numbers are converted on the way.
        voxels = (self.voxels.to(dtype) if self.voxels.is_floating_point() else self.voxels) - low
        voxels.div_(high - low)
        if self.clip:
            voxels.clamp_(0, 1)
        if self.known is not None:
            voxels.masked_fill_(~self.known[:, None], 0.0)
        return replace(self, voxels=voxels, low=None, high=None)

    def showing(self, voxels: Float[Tensor, "samples channels *others"], known: Tensor | None = None) -> VolumeBatch:
        """The same samples with other, scaled voxels: a crop, an altered copy."""
        return replace(self, voxels=voxels, low=None, high=None, known=known)

    def to(self, device: torch.device, non_blocking: bool = False) -> VolumeBatch:
        return moved(self, device, non_blocking)
