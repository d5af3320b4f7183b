"""What a source of images hands to its encoders: tiles of one size, in the numbers that the files hold.

Conversion to physical units and standardisation happen here, for a whole batch and on its device: a tile of uint16
costs half of what one of float32 does on its way from a worker.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from manyviews.moving import constant, moved, taken
from manyviews_satellite.spec import TileSpec


@dataclass(frozen=True)
class TileBatch:
    """Tiles, each of one or more dates."""

    pixels: Shaped[Tensor, "tiles dates bands rows cols"]
    """As stored; or standardised numbers, where `standard` says so."""
    scale: Float[Tensor, "tiles dates bands"]
    """Stored number * scale + offset is in physical units."""
    offset: Float[Tensor, "tiles dates bands"]
    time: Float[Tensor, "tiles dates three"]
    """Year, month and hour of each image; NaN where it is not known."""
    metres: Float[Tensor, "tiles"]
    """Size of a pixel on the ground; NaN where it is not known."""
    bands: tuple[int, ...]
    """Which of the spec's bands these are: some may be missing."""
    valid: Bool[Tensor, "tiles dates rows cols"] | None = None
    """False where nothing was seen: no data, outside the scene, NaN, clouds where a mask says so. None: all is valid."""
    standard: bool = False

    def __len__(self) -> int:
        return self.pixels.shape[0]

    @property
    def dates(self) -> int:
        return self.pixels.shape[1]

    def to(self, device: torch.device, non_blocking: bool = False) -> TileBatch:
        return moved(self, device, non_blocking)

    def standardised(self, spec: TileSpec, dtype: torch.dtype = torch.float32) -> TileBatch:
        """At mean 0 and deviation 1 over the training data; 0, the mean, where nothing was seen."""
        if self.standard:
            return self if self.pixels.dtype == dtype else replace(self, pixels=self.pixels.to(dtype))
        mean, std = (
            constant([values[band] for band in self.bands], self.pixels.device, dtype) for values in (spec.mean, spec.std)
        )
        # One multiply and one add in all.
        factor, shift = self.scale.to(dtype) / std, (self.offset.to(dtype) - mean) / std
        numbers = self.pixels.to(dtype)
        if self.valid is not None:
            numbers = torch.where(self.valid[:, :, None], numbers, numbers.new_zeros(()))
        found = torch.addcmul(_wide(shift), numbers, _wide(factor))
        if self.valid is not None:
            found = torch.where(self.valid[:, :, None], found, found.new_zeros(()))
        return replace(self, pixels=found, standard=True)

    def content(self, spec: TileSpec, dtype: torch.dtype = torch.float32) -> Float[Tensor, "tiles dates bands rows cols"]:
        """Standardised numbers, NaN where nothing was seen."""
        pixels = self.standardised(spec, dtype).pixels
        return pixels if self.valid is None else pixels.masked_fill(~self.valid[:, :, None], torch.nan)

    def at_dates(self, dates: list[int]) -> TileBatch:
        """Some of the dates, in this order."""
        valid = None if self.valid is None else taken(self.valid, 1, dates)
        return replace(
            self,
            pixels=taken(self.pixels, 1, dates),
            scale=taken(self.scale, 1, dates),
            offset=taken(self.offset, 1, dates),
            time=taken(self.time, 1, dates),
            valid=valid,
        )

    def with_bands(self, kept: list[int]) -> TileBatch:
        """Some of the bands, by their places here."""
        return replace(
            self,
            pixels=taken(self.pixels, 2, kept),
            scale=taken(self.scale, 2, kept),
            offset=taken(self.offset, 2, kept),
            bands=tuple(self.bands[place] for place in kept),
        )


def _wide(x: Float[Tensor, "tiles dates bands"]) -> Float[Tensor, "tiles dates bands one two"]:
    return rearrange(x, "tiles dates bands -> tiles dates bands 1 1")
