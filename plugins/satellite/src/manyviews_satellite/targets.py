"""What probes predict: the folder of a scene, labelled points, or a map of classes or numbers."""

from __future__ import annotations

import csv
import json
import math
import sqlite3
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.crs import CRS

from manyviews.errors import DataError
from manyviews.plugins.suggest import did_you_mean
from manyviews_satellite.reading.arrays import values
from manyviews_satellite.reading.grid import Grid
from manyviews_satellite.reading.header import read_header
from manyviews_satellite.reading.pixels import Window, read_pixels
from manyviews_satellite.reading.scene import Scene
from manyviews_satellite.tiles import Numbers

POINTS = frozenset({".gpkg", ".geojson", ".json", ".csv"})


def named(value: int | float, names: Mapping[int, str]) -> str:
    """What a value of a map is called: its name, or the number."""
    return names.get(int(value), f"{value:g}") if value == int(value) else f"{value:g}"


@dataclass(frozen=True)
class Points:
    """Labelled places."""

    x: np.ndarray
    y: np.ndarray
    crs: str | None
    values: tuple[str, ...]
    """As text."""

    def texts(self, index: Numbers) -> list[str]:
        """The labels of some of them."""
        return [self.values[number] for number in index.tolist()]

    def centres(self, scene: Scene) -> tuple[Numbers, Numbers, Numbers]:
        """The pixels of a scene that they lie in, and which of them."""
        rows, cols = (np.floor(part).astype(np.int64) for part in scene.grid.pixels(self.x, self.y, self.crs))
        inside = np.flatnonzero((rows >= 0) & (rows < scene.grid.rows) & (cols >= 0) & (cols < scene.grid.cols))
        return rows[inside], cols[inside], inside


@dataclass(frozen=True)
class Map:
    """A value for every pixel of a grid."""

    grid: Grid
    numbers: np.ndarray
    stride: int
    ignore: tuple[float, ...]

    names: Mapping[int, str] = field(default_factory=dict)
    """Of its values, where they are known."""

    def texts(self, index: Numbers) -> list[str]:
        """The names of some pixels' values, which are numbered row by row."""
        return [self.name(value) for value in self.numbers.ravel()[index].tolist()]

    def name(self, value: int | float) -> str:
        """What a value is called."""
        return named(value, self.names)

    def at(self, scene: Scene, window: Window) -> np.ndarray:
        """Its values where the pixels of a scene's window lie; NaN beyond it."""
        row, col, height, width = window
        if self.grid.crs is None or scene.grid.crs is None:
            self._refuse_unlike(scene)
            down, across = np.meshgrid(np.arange(height) + row, np.arange(width) + col, indexing="ij")
        else:
            places = self.grid.pixels(*scene.places(window), scene.grid.crs)
            down, across = (np.floor(part).astype(np.int64) for part in places)
        inside = (down >= 0) & (down < self.grid.rows) & (across >= 0) & (across < self.grid.cols)
        found = np.full(down.shape, np.nan)
        found[inside] = self.numbers[down[inside], across[inside]]
        return found

    def centres(self, scene: Scene) -> tuple[Numbers, Numbers, Numbers]:
        """Every so many pixels of a scene, where the map has a value, and which of its pixels that is."""
        rows, cols = (
            part.ravel()
            for part in np.meshgrid(
                *(np.arange(self.stride // 2, size, self.stride) for size in (scene.grid.rows, scene.grid.cols)), indexing="ij"
            )
        )
        x, y = scene.grid.points(rows + 0.5, cols + 0.5)
        if self.grid.crs is None or scene.grid.crs is None:
            self._refuse_unlike(scene)
            down, across = rows, cols
        else:
            down, across = (np.floor(part).astype(np.int64) for part in self.grid.pixels(x, y, scene.grid.crs))
        inside = (down >= 0) & (down < self.grid.rows) & (across >= 0) & (across < self.grid.cols)
        rows, cols, down, across = rows[inside], cols[inside], down[inside], across[inside]
        found = self.numbers[down, across]
        known = ~np.isin(found, self.ignore) & np.isfinite(found.astype(np.float64))
        return rows[known], cols[known], (down * self.grid.cols + across)[known]

    def _refuse_unlike(self, scene: Scene) -> None:
        if (self.grid.rows, self.grid.cols) != (scene.grid.rows, scene.grid.cols):
            raise DataError(
                f"data.target: a map of {self.grid.rows} x {self.grid.cols} pixels without a place on the ground does not lie "
                f"over {scene.name}, which has {scene.grid.rows} x {scene.grid.cols}"
            )


def read_points(path: Path, column: str | None) -> Points:
    """Labelled points of a GeoPackage, GeoJSON or CSV (columns x, y; of the scenes' own coordinates).

    Raises:
        DataError: No points, or no such column.
    """
    rows, crs = {".gpkg": _geopackage, ".csv": _csv}.get(path.suffix.lower(), _geojson)(path)
    if not rows:
        raise DataError(f"{path}: holds no points")
    names = sorted({key for _, _, told in rows for key in told})
    if column is None or column not in names:
        hint = "" if column is None else did_you_mean(column, names)
        asked = "say which is the label by data.target_column" if column is None else f"there is no column {column!r}"
        raise DataError(f"{path}: {asked} (it has: {', '.join(names)}){hint}")
    x, y = (np.array([row[axis] for row in rows], dtype=np.float64) for axis in (0, 1))
    return Points(x, y, crs, tuple(str(told.get(column, "") if told.get(column) is not None else "") for _, _, told in rows))


Row = tuple[float, float, dict[str, Any]]


def _geopackage(path: Path) -> tuple[list[Row], str | None]:
    """GeoPackage 1.3, section 2.1.3: a header of 8 bytes and an envelope before each point in WKB."""
    with sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True) as base:
        try:
            (table, column, system), *_ = base.execute(
                "select table_name, column_name, srs_id from gpkg_geometry_columns"
            ).fetchall()
        except (sqlite3.DatabaseError, ValueError) as error:
            raise DataError(f"{path}: is no GeoPackage of points: {error}") from error
        told = base.execute(f'select * from "{table}"')
        names = [entry[0] for entry in told.description]
        rows = [dict(zip(names, values, strict=True)) for values in told.fetchall()]
    return [(*_point(row.pop(column), path), row) for row in rows], f"EPSG:{system}" if system > 0 else None


def _point(blob: bytes, path: Path) -> tuple[float, float]:
    envelope = (0, 32, 48, 48, 64)[blob[3] >> 1 & 7]
    order = "<" if blob[8 + envelope] else ">"
    kind, x, y = struct.unpack_from(f"{order}Idd", blob, 9 + envelope)
    if kind % 1000 != 1:
        raise DataError(f"{path}: holds shapes that are no points; take their centres, or draw them into a raster")
    return x, y


def _geojson(path: Path) -> tuple[list[Row], str | None]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        features = told["features"]
        points = [feature for feature in features if feature["geometry"]["type"] == "Point"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: is no GeoJSON feature collection of points") from error
    name = told.get("crs", {}).get("properties", {}).get("name", "EPSG:4326")
    rows = [(*feature["geometry"]["coordinates"][:2], dict(feature["properties"] or {})) for feature in points]
    return rows, CRS.from_user_input(name).to_wkt()


def _csv(path: Path) -> tuple[list[Row], str | None]:
    with path.open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    try:
        return [(float(row.pop("x")), float(row.pop("y")), dict(row)) for row in table], None
    except (KeyError, ValueError) as error:
        raise DataError(f"{path}: a list of points needs numbers in columns x and y, in the scenes' coordinates") from error


def read_map(path: Path, stride: int, ignore: Sequence[float], names: Mapping[int, str]) -> Map:
    """A raster or .npy array of one value a pixel.

    Raises:
        DataError: Not one value a pixel.
    """
    if path.suffix.lower() == ".npy":
        numbers = values(str(path))
        if numbers.ndim != 2:
            raise DataError(f"{path}: has shape {numbers.shape}; a map has rows and columns")
        return Map(Grid(*numbers.shape), numbers, stride, tuple(ignore), names)
    header = read_header(str(path))
    grid = header.grid
    numbers = read_pixels(header, [1], (0, 0, grid.rows, grid.cols))[0]
    nodata = header.nodata[0]
    empty = () if nodata is None or math.isnan(nodata) else (nodata,)
    return Map(grid, numbers, stride, tuple(ignore) + empty, names)
