"""Embeddings as a raster on the scene's own grid: a pixel for each tile, or for each patch, at its place on the ground."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath

import numpy as np
import rasterio
from jaxtyping import Float, Int, UInt8
from rasterio.windows import Window

from manyviews.errors import UserError
from manyviews.look.style import SERIES
from manyviews.source import Source
from manyviews.writer import About, Rows, Writer
from manyviews_satellite.reading.find import SUFFIXES
from manyviews_satellite.reading.grid import Grid
from manyviews_satellite.reading.scene import Scene
from manyviews_satellite.source import TileSource

FOLDER = ".geotiff"
"""Ending of a folder with a file for each scene."""
UNLABELLED = 255
"""What a map of classes holds where no tile is."""


class GeoTiffWriter(Writer):
    """A GeoTIFF of the scene's coordinate system. Of tiles: a pixel in the middle of each, as large as the step between them;
    NaN where there is none.

    With `--tokens` a pixel is a patch; dates and groups of bands are averaged. Answers of a finetuned net are written as
    numbers of classes at full resolution, whose names are the band's tags `class_0`, …, or as a band for each class. Where
    tiles overlap, the one stands whose border is farthest.
    """

    suffixes = (".tif", ".tiff")

    def check(self, source: Source) -> None:
        """Of one scene, whose tiles are a grid."""
        scenes = _scenes(source)
        if len(scenes) > 1:
            raise UserError(
                f"a GeoTIFF is of one scene, and these data hold {len(scenes)}: {scenes[0].name}, …\n"
                f"name a folder that ends in {FOLDER}, which gets a file for each"
            )

    def write(self, parts: Iterator[Rows], about: About, place: Path) -> None:
        self.check(about.source)
        _write(parts, about, lambda _: place)


class GeoTiffFolderWriter(Writer):
    """A folder of GeoTIFFs, one for each scene, called as the scene is (of pairs, as their first image); else as the writer of
    one file."""

    suffixes = (FOLDER,)
    holds = frozenset(("embedding", "answer"))

    def check(self, source: Source) -> None:
        """Of scenes that have names of their own."""
        name, count = Counter(_name(scene) for scene in _scenes(source)).most_common(1)[0]
        if count > 1:
            raise UserError(
                f"{count} of these scenes are called {name!r}, and files of a folder have one name each: take them apart"
            )

    def write(self, parts: Iterator[Rows], about: About, place: Path) -> None:
        place.mkdir()
        _write(parts, about, lambda scene: place / f"{_name(scene)}.tif")


def _scenes(source: Source) -> list[Scene]:
    if not isinstance(source, TileSource):
        raise UserError(f"a GeoTIFF is for images on the ground; {type(source).__name__} has none: name a .parquet file")
    return source.scenes


def _name(scene: Scene) -> str:
    """Of its file, without the ending; of a stack's date with the date's number."""
    path = PurePath(scene.name)
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def _write(parts: Iterator[Rows], about: About, place: Callable[[Scene], Path]) -> None:
    """Scene by scene, as their tiles come."""
    source = about.source
    assert isinstance(source, TileSource)
    scene: Scene | None = None
    raster: _Raster | None = None
    try:
        for rows in parts:
            for number, values in zip(rows.samples.tolist(), rows.each(), strict=True):
                picture, step = _picture(values, rows.grid, source)
                if raster is None or source.scene(number) is not scene:
                    if raster is not None:
                        raster.file.close()
                    scene = source.scene(number)
                    raster = _Raster(place(scene), scene.grid, source.spec.windows.tile, about, picture, step)
                raster.put(picture, source.corner(number))
    finally:
        if raster is not None:
            raster.file.close()
    if raster is None:
        raise UserError("there are no tiles to be written")


def _picture(
    values: np.ndarray, grid: tuple[int, ...] | None, source: TileSource
) -> tuple[Float[np.ndarray, "bands rows cols"] | Int[np.ndarray, "one rows cols"], int]:
    """What is written for a tile, and how many of the scene's pixels a pixel of it is."""
    windows = source.spec.windows
    if values.ndim == 3:  # a label map, or several of one tile
        return values.reshape(1, *values.shape[-2:]), windows.tile // values.shape[-1]
    if grid is None:
        return values.reshape(1, 1, -1).transpose(2, 0, 1), windows.stride or windows.tile
    cells = values.reshape(*grid, -1)
    cells = cells.reshape(-1, *cells.shape[-3:]).mean(0)
    return cells.transpose(2, 0, 1), windows.tile // cells.shape[0]


class _Raster:
    """A file that pictures of tiles are put into."""

    def __init__(self, place: Path, grid: Grid, tile: int, about: About, picture: np.ndarray, step: int) -> None:
        # A picture of one pixel stands for its tile's middle; the scene's first pixel is that of larger ones.
        self.step = step
        start = (tile - step) / 2 if picture.shape[1:] == (1, 1) else 0.0
        rows, cols = (-(-(size - round(2 * start)) // step) for size in (grid.rows, grid.cols))
        a, b, c, d, e, f = grid.transform[:6]
        classes = picture.dtype.kind in "iu"
        self.file = rasterio.open(
            place, "w+", driver="GTiff", count=len(picture), height=max(rows, 1), width=max(cols, 1),
            dtype="uint8" if classes else "float32", nodata=UNLABELLED if classes else float("nan"), crs=grid.crs,
            transform=rasterio.Affine(a * step, b * step, c + (a + b) * start, d * step, e * step, f + (d + e) * start),
            tiled=True, blockxsize=128, blockysize=128, interleave="pixel", BIGTIFF="IF_SAFER",
        )  # fmt: skip
        if classes:
            self._say_classes(about.names)
        else:
            self.file.descriptions = _names(about, self.file.count)
        for _, window in self.file.block_windows(1):  # no data everywhere
            empty = np.full((self.file.count, window.height, window.width), self.file.nodata, self.file.dtypes[0])
            self.file.write(empty, window=window)
        self._inwards = np.zeros((self.file.height, self.file.width), np.uint8)

    def _say_classes(self, names: tuple[str, ...]) -> None:
        """What each number means, in the band's tags, and its colour: a map of small numbers is black in most viewers."""
        self.file.descriptions = ("class",)
        self.file.update_tags(1, **{f"class_{number}": name for number, name in enumerate(names)})
        colours = {number: SERIES[number % len(SERIES)] for number in range(len(names))}
        rgb = {number: tuple(bytes.fromhex(colour[1:])) for number, colour in colours.items()}
        self.file.write_colormap(1, {**rgb, UNLABELLED: (0, 0, 0, 0)})

    def put(self, picture: np.ndarray, corner: tuple[int, int]) -> None:
        """A tile's picture at its place, but for pixels that lie farther inside of another tile. The last tiles of a scene are
        moved inwards: their pixel is the last one."""
        file = self.file
        top, left = (-(-start // self.step) for start in corner)
        top, left = min(max(top, 0), file.height - 1), min(max(left, 0), file.width - 1)
        rows, cols = min(picture.shape[1], file.height - top), min(picture.shape[2], file.width - left)
        ends = top == 0, left == 0, top + rows == file.height, left + cols == file.width
        own = _inwards(picture.shape[1:], ends)[:rows, :cols]
        kept = self._inwards[top : top + rows, left : left + cols]
        better, window = own > kept, Window(left, top, cols, rows)
        numbers = picture if picture.dtype.kind == "f" else np.where(picture < 0, UNLABELLED, picture)
        numbers = numbers[:, :rows, :cols].astype(file.dtypes[0])
        file.write(numbers if better.all() else np.where(better, numbers, file.read(window=window)), window=window)
        kept[better] = own[better]


def _inwards(size: tuple[int, ...], ends: tuple[bool, bool, bool, bool]) -> UInt8[np.ndarray, "rows cols"]:
    """How far each pixel of a tile lies from its borders, from 1; those that are the scene's own (top, left, bottom, right) do
    not count."""
    far = np.iinfo(np.uint8).max

    def along(length: int, first: bool, last: bool) -> np.ndarray:
        up = np.full(length, far) if first else np.arange(1, length + 1)
        down = np.full(length, far) if last else np.arange(length, 0, -1)
        return np.minimum(up, down)

    rows, cols = along(size[0], ends[0], ends[2]), along(size[1], ends[1], ends[3])
    return np.minimum(np.minimum(rows[:, None], cols), far).astype(np.uint8)


def _names(about: About, count: int) -> tuple[str, ...]:
    return about.names if len(about.names) == count else tuple(f"{about.what} {number}" for number in range(count))
