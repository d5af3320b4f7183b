"""How much of each tile is valid, known before anything is trained: of large scenes from one band's overviews, or thinned."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from rasterio.errors import RasterioError

from manyviews_satellite.reading.handles import opened
from manyviews_satellite.reading.scene import Scene, Valid
from manyviews_satellite.tiles import Numbers

EXACT = 1 << 22
"""Pixels up to which a scene is looked at whole."""
MOST = 1 << 27
"""Pixels up to which a scene without overviews is looked at: all of its blocks must be decompressed for that."""
COARSE = 2048
"""Rows and columns of a thinned picture."""


def valid_mask(scene: Scene) -> Valid | None:
    """Where a scene is valid, thinned where it is large; None where that would take too long.

    Raises:
        DataError: A scene that is looked at whole cannot be read.
    """
    rows, cols = scene.grid.rows, scene.grid.cols
    if rows * cols <= EXACT:
        return scene.read((0, 0, rows, cols))[1]
    layer = scene.layers[0]
    if layer.header.axes or (rows * cols > MOST and not layer.header.overviews):
        return None
    shape = min(rows, COARSE), min(cols, COARSE)
    try:
        pixels = opened(layer.header.path).read(layer.number, out_shape=shape)
        mask = opened(layer.header.path).read_masks(1, out_shape=shape) > 0 if layer.header.mask else np.ones(shape, bool)
    except RasterioError:
        return None  # the tile that is damaged says so when it is read
    if pixels.dtype.kind in "fc":
        mask &= np.isfinite(pixels)
    found: np.ndarray = mask if layer.nodata is None else mask & (pixels != layer.nodata)
    return found


def valid_shares(mask: Valid, scene: Scene, row: Numbers, col: Numbers, tile: int) -> Float[np.ndarray, "tiles"]:
    """The share of each tile that a scene's mask lets stand; what reaches beyond the scene does not. By a summed-area table."""
    table = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1))
    table[1:, 1:] = mask.cumsum(0, dtype=np.float64).cumsum(1)
    down, across = mask.shape[0] / scene.grid.rows, mask.shape[1] / scene.grid.cols

    def edges(start: Numbers, factor: float, most: int) -> tuple[Numbers, Numbers]:
        low = np.floor(start * factor).astype(int).clip(0, most - 1)
        high = np.ceil((start + tile) * factor).astype(int).clip(1, most)
        return low, np.maximum(high, low + 1)

    (top, bottom), (left, right) = edges(row, down, mask.shape[0]), edges(col, across, mask.shape[1])
    seen = table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left]
    area = np.maximum((bottom - top) * (right - left), tile**2 * down * across)
    shares: np.ndarray = (seen / area).clip(0, 1)
    return shares
