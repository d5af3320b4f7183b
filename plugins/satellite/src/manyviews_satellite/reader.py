"""Tiles out of scenes: a region is read once for all its tiles, and kept while there is room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Shaped

from manyviews_satellite.reading.scene import Pixels, Scene, Valid
from manyviews_satellite.tiles import Tiles


class TileReader:
    """Reads tiles by their numbers.

    Args:
        scenes: What tiles are cut from.
        tiles: Where.
        tile: Their rows and columns.
        dates: For each tile and date the scene: its own, and others, of which the pixels nearest to its own are read. None: one
            date, its own.
        memory: Bytes of regions kept.
    """

    def __init__(
        self, scenes: Sequence[Scene], tiles: Tiles, tile: int, dates: Int[np.ndarray, "tiles dates"] | None, memory: int
    ) -> None:
        self.scenes, self.tiles, self.tile, self.dates = scenes, tiles, tile, dates
        self._windows = tiles.windows(tile)
        self._dtype = np.result_type(*{scene.dtype for scene in scenes})
        self._bands = len(scenes[0].bands)
        self._kept: OrderedDict[tuple[int, int], tuple[Pixels, Valid | None]] = OrderedDict()
        self._alike: dict[tuple[int, int], bool] = {}
        self._memory, self._room = memory, memory

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept": OrderedDict(), "_room": self._memory}  # each worker keeps its own

    def read(
        self, index: Int[np.ndarray, "tiles"]
    ) -> tuple[Shaped[np.ndarray, "tiles dates bands rows cols"], Bool[np.ndarray, "tiles dates rows cols"] | None]:
        """Pixels in the type that all scenes fit in, and where they are valid (None: everywhere)."""
        dates = 1 if self.dates is None else self.dates.shape[1]
        pixels = np.empty((len(index), dates, self._bands, self.tile, self.tile), self._dtype)
        valid: np.ndarray | None = None
        order = np.argsort(self.tiles.region[index], kind="stable")
        for place in order.tolist():
            for date, (part, seen) in enumerate(self._each_date(int(index[place]))):
                pixels[place, date] = part
                if seen is not None:
                    valid = np.ones((len(index), dates, self.tile, self.tile), bool) if valid is None else valid
                    valid[place, date] = seen
        return pixels, None if valid is None or valid.all() else valid

    def _each_date(self, number: int) -> list[tuple[Pixels, Valid | None]]:
        tiles = self.tiles
        row, col, region = int(tiles.row[number]), int(tiles.col[number]), int(tiles.region[number])
        top, left = row - int(self._windows[region, 0]), col - int(self._windows[region, 1])
        rows, cols = slice(top, top + self.tile), slice(left, left + self.tile)
        own, window = int(tiles.scene[number]), (row, col, self.tile, self.tile)
        found: list[tuple[Pixels, Valid | None]] = []
        for scene in [own] if self.dates is None else self.dates[number].tolist():
            if not self._on_one_grid(own, scene):
                found.append(self.scenes[scene].read_at(self.scenes[own], window))
                continue
            pixels, valid = self._region(region, scene)
            found.append((pixels[:, rows, cols], None if valid is None else valid[rows, cols]))
        return found

    def _on_one_grid(self, one: int, other: int) -> bool:
        """Whether a region of one scene is one of the other's, too: dates of a stack, pairs of files."""
        if one == other:
            return True
        if (one, other) not in self._alike:
            self._alike[one, other] = self.scenes[one].grid.matches(self.scenes[other].grid)
        return self._alike[one, other]

    def _region(self, number: int, scene: int) -> tuple[Pixels, Valid | None]:
        """The region of this number in a scene: in its own, or in one on the same grid."""
        if (number, scene) in self._kept:
            self._kept.move_to_end((number, scene))
            return self._kept[number, scene]
        row, col, height, width = (int(part) for part in self._windows[number])
        pixels, seen = self.scenes[scene].read((row, col, height, width))
        valid = None if seen.all() else seen
        size = pixels.nbytes + (0 if valid is None else valid.nbytes)
        if len(self.tiles) > 1 and size <= self._memory:
            while self._room < size:
                old, mask = self._kept.popitem(last=False)[1]
                self._room += old.nbytes + (0 if mask is None else mask.nbytes)
            self._kept[number, scene] = pixels, valid
            self._room -= size
        return pixels, valid
