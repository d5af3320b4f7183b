"""Which tiles there are: a grid, jittered crops of stored blocks, or windows anywhere.

Tiles are numbered region by region. A region is what is read at once, whole stored blocks where that can be: all tiles
of a block cost one decompression, where windows anywhere cost four each. Batches mix the tiles of many regions
(`Source.blocks`, `train.shuffle_blocks`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from manyviews.errors import DataError
from manyviews_satellite.reading.scene import Scene
from manyviews_satellite.spec import Windows

REGION_BYTES = 64 << 20
"""Most that a region takes in memory."""
MOST_TILES = 20_000_000
"""Of a scene: their places are kept in memory, and a header may claim any size."""
Numbers = Int[np.ndarray, "tiles"]


@dataclass(frozen=True)
class Tiles:
    """Upper left corners, in the order of their regions."""

    scene: Numbers
    row: Numbers
    col: Numbers
    region: Numbers
    """Ascending."""

    @classmethod
    def of(cls, parts: Sequence[tuple[int, np.ndarray, np.ndarray, np.ndarray]]) -> Tiles:
        """From (scene, rows, columns, regions), sorted by region within each scene."""
        scenes, rows, cols, regions, start = [], [], [], [], 0
        for scene, row, col, region in parts:
            order = np.argsort(region, kind="stable")
            numbers = np.unique(region[order], return_inverse=True)[1]
            scenes.append(np.full(len(row), scene))
            rows.append(row[order])
            cols.append(col[order])
            regions.append(numbers + start)
            start += int(numbers.max()) + 1 if len(numbers) else 0
        empty = [np.zeros(0, np.int64)]
        return cls(*(np.concatenate(part or empty).astype(np.int64) for part in (scenes, rows, cols, regions)))

    def __len__(self) -> int:
        return len(self.scene)

    def where(self, kept: Bool[np.ndarray, "tiles"]) -> Tiles:
        """Some of the tiles; regions without any are numbered no longer."""
        regions = np.unique(self.region[kept], return_inverse=True)[1]
        return Tiles(self.scene[kept], self.row[kept], self.col[kept], regions.astype(np.int64))

    def counts(self) -> Numbers:
        """Tiles of each region."""
        return np.bincount(self.region)

    def windows(self, tile: int) -> Int[np.ndarray, "regions four"]:
        """Row, column, height and width of each region: what encloses its tiles."""
        first = np.flatnonzero(np.diff(self.region, prepend=-1))
        top, left = (np.minimum.reduceat(part, first) for part in (self.row, self.col))
        bottom, right = (np.maximum.reduceat(part, first) + tile for part in (self.row, self.col))
        return np.stack([top, left, bottom - top, right - left], axis=1)


def cut(scene: Scene, windows: Windows, random: np.random.Generator, area: int) -> tuple[Numbers, Numbers, Numbers]:
    """Rows, columns and regions of the tiles of a scene. `area`: pixels of all scenes, for `tiles` in all.

    Raises:
        DataError: A scene of so many tiles that only its header can be meant.
    """
    step = (windows.stride if windows.sampling == "grid" else None) or windows.tile
    count = (scene.grid.rows // step) * (scene.grid.cols // step)
    if count > MOST_TILES and windows.tiles is None:
        raise DataError(
            f"{scene.name}: {scene.grid.rows:,} x {scene.grid.cols:,} pixels are about {count:,} tiles, and {MOST_TILES:,} are "
            "the most\nset data.tile or data.stride larger, or cut the image into parts"
        )
    if windows.sampling == "random":
        return _anywhere(scene, windows, random, area)
    return _crops(scene, windows, random) if windows.sampling == "blocks" else _grid(scene, windows)


def region_size(scene: Scene, tile: int) -> tuple[int, int]:
    """Rows and columns of a region: whole blocks, two tiles wide and high at least."""
    rows, cols = (block * -(-2 * tile // block) for block in scene.block)
    pixel = max(len(scene.bands) * scene.dtype.itemsize, 1)
    if min(rows, scene.grid.rows) * min(cols, scene.grid.cols) * pixel > REGION_BYTES:
        rows = max(scene.block[0], tile)
    return rows, cols


def _grid(scene: Scene, windows: Windows) -> tuple[Numbers, Numbers, Numbers]:
    """Side by side from the upper left; the last ones are moved inwards, so that all of a scene is covered."""
    rows, cols = (_starts(size, windows.tile, windows.stride or windows.tile) for size in (scene.grid.rows, scene.grid.cols))
    row, col = (part.ravel() for part in np.meshgrid(rows, cols, indexing="ij"))
    return row, col, regions_of(scene, windows.tile, row, col)


def regions_of(scene: Scene, tile: int, row: Numbers, col: Numbers) -> Numbers:
    """The region that each upper left corner lies in."""
    height, width = region_size(scene, tile)
    across = scene.grid.cols // width + 2
    return (row // height + 1) * across + col // width + 1  # a tile around a point at the edge begins outside


def _starts(size: int, tile: int, stride: int) -> Numbers:
    last = max(size - tile, 0)
    return np.unique(np.append(np.arange(0, last + 1, stride), last))


def _crops(scene: Scene, windows: Windows, random: np.random.Generator) -> tuple[Numbers, Numbers, Numbers]:
    """So many crops at random places of each region of whole blocks."""
    tile, (height, width) = windows.tile, region_size(scene, windows.tile)
    height, width = min(height, scene.grid.rows), min(width, scene.grid.cols)
    crops = windows.crops or max(height * width // tile**2, 1)
    tops, lefts = (
        np.arange(0, max(size - tile, 0) + 1, step) for size, step in ((scene.grid.rows, height), (scene.grid.cols, width))
    )
    top, left = (part.ravel().repeat(crops) for part in np.meshgrid(tops, lefts, indexing="ij"))
    row = top + _below(np.minimum(height, scene.grid.rows - top) - tile, random)
    col = left + _below(np.minimum(width, scene.grid.cols - left) - tile, random)
    return row, col, np.arange(len(tops) * len(lefts)).repeat(crops)


def _below(most: Numbers, random: np.random.Generator) -> Numbers:
    """Whole numbers from 0 to `most`."""
    return random.integers(0, np.maximum(most, 0), endpoint=True)


def _anywhere(scene: Scene, windows: Windows, random: np.random.Generator, area: int) -> tuple[Numbers, Numbers, Numbers]:
    """Windows at random places, so many as the scene's share of all pixels says; each is a region of its own."""
    grid, tile = scene.grid, windows.tile
    count = max(round((windows.tiles or area / tile**2) * grid.rows * grid.cols / area), 1)
    row, col = (_below(np.full(count, size - tile), random) for size in (grid.rows, grid.cols))
    return row, col, np.arange(count)
