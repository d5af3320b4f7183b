"""Scenes that are one sample each, resampled to the size that an encoder is shown.

How scene classification is compared: a pretrained encoder loses up to 27 points of accuracy on images that are smaller
than those it was trained on, and gets them back when they are resampled to that size (Corley et al. 2023, table 2).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Shaped
from torch.nn import functional as F

from manyviews.errors import DataError
from manyviews_satellite.reading.pixels import Window
from manyviews_satellite.reading.scene import Pixels, Scene, Valid

MOST = 1 << 24
"""Pixels of a scene that is read whole, 4,096 x 4,096."""
SEEN = 0.5
"""Share of a pixel's weight that must be valid."""


@dataclass(frozen=True)
class WholeScene(Scene):
    """A scene on a grid of its own number of rows and columns; its sides need not agree with the scene's."""

    of: Scene | None = None

    @cached_property
    def checked(self) -> bool:
        assert self.of is not None
        return self.of.checked

    @property
    def block(self) -> tuple[int, int]:
        return self.grid.rows, self.grid.cols

    def _inside(self, window: Window) -> tuple[Pixels, Valid]:
        assert self.of is not None
        row, col, height, width = window
        pixels, valid = resampled(*self.of.read((0, 0, self.of.grid.rows, self.of.grid.cols)), self.block)
        inside = slice(row, row + height), slice(col, col + width)
        return pixels[:, *inside], valid[inside]


def whole(scene: Scene, size: int) -> WholeScene:
    """The scene on `size` x `size` pixels.

    Raises:
        DataError: A scene too large to be one sample.
    """
    grid = scene.grid
    if grid.rows * grid.cols > MOST:
        raise DataError(
            f"{scene.name}: {grid.rows:,} x {grid.cols:,} pixels are no single sample; leave out data.sampling=whole, "
            "which takes scenes as they are, to cut it into tiles"
        )
    a, b, c, d, e, f = grid.transform[:6]
    across, down = grid.cols / size, grid.rows / size
    own = replace(grid, rows=size, cols=size, transform=(a * across, b * down, c, d * across, e * down, f))
    shared = {field.name: getattr(scene, field.name) for field in fields(Scene) if field.name != "grid"}
    return WholeScene(**shared, grid=own, of=scene)


def resampled(
    pixels: Pixels, valid: Valid, size: tuple[int, int]
) -> tuple[Shaped[np.ndarray, "bands h w"], Bool[np.ndarray, "h w"]]:
    """Bilinear, low-passed where it shrinks, in the type that it was; invalid pixels have no weight."""
    if pixels.shape[1:] == size:
        return pixels, valid
    weight = torch.from_numpy(valid.astype(np.float32))
    numbers = torch.from_numpy(np.where(valid, pixels, 0).astype(np.float32))
    found = F.interpolate(torch.cat([numbers, weight[None]])[None], size=size, mode="bilinear", antialias=True)[0]
    share = found[-1]
    values = (found[:-1] / share.clamp(min=1e-6)).numpy()
    if pixels.dtype.kind in "ui":
        limits = np.iinfo(pixels.dtype)
        values = np.rint(values).clip(limits.min, limits.max)
    seen: np.ndarray = share.numpy() > SEEN
    return np.where(seen, values, 0).astype(pixels.dtype), seen
