"""Embeddings as a raster on the scene's own grid: a pixel for each tile, or for each patch, at its place on the ground."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from jaxtyping import Float, Int
from rasterio.windows import Window

from manyviews.errors import UserError
from manyviews.source import Source
from manyviews.writer import About, Rows, Writer
from manyviews_satellite.source import TileSource

UNLABELLED = 255
"""What a map of classes holds where no tile is."""


class GeoTiffWriter(Writer):
    """A GeoTIFF of the scene's coordinate system. Of tiles: a pixel as large as the step between them, NaN where none is.

    With `--tokens` a pixel is a patch; dates and groups of bands are averaged. Answers of a finetuned net are written as
    classes at full resolution, or as a band for each class.
    """

    suffixes = (".tif", ".tiff")

    def check(self, source: Source) -> None:
        """Of one scene, whose tiles are a grid."""
        if not isinstance(source, TileSource):
            raise UserError(f"a GeoTIFF is for images on the ground; {type(source).__name__} has none: name a .parquet file")
        if len(source.scenes) > 1:
            raise UserError(
                f"a GeoTIFF is of one scene, and these data hold {len(source.scenes)}: {source.scenes[0].name}, …\n"
                "embed them one by one, or name a .parquet file"
            )

    def write(self, parts: Iterator[Rows], about: About, place: Path) -> None:
        self.check(about.source)
        assert isinstance(about.source, TileSource)
        source, file = about.source, None
        try:
            for rows in parts:
                for number, values in zip(rows.samples.tolist(), rows.each(), strict=True):
                    picture, step = _picture(values, rows.grid, about, source)
                    if file is None:
                        file = rasterio.open(place, "w", **_profile(source, about, picture, step))
                        file.descriptions = _names(about, file.count)
                        _empty(file)
                    _put(file, picture, source.corner(number), step)
        finally:
            if file is not None:
                file.close()
        if file is None:
            raise UserError("there are no tiles to be written")


def _picture(
    values: np.ndarray, grid: tuple[int, ...] | None, about: About, source: TileSource
) -> tuple[Float[np.ndarray, "bands rows cols"] | Int[np.ndarray, "one rows cols"], int]:
    """What is written for a tile, and how many of the scene's pixels a pixel of it is."""
    tile, stride = source.spec.windows.tile, source.spec.windows.stride or source.spec.windows.tile
    if values.ndim == 3:  # a label map, or several of one tile
        return values.reshape(1, *values.shape[-2:]), tile // values.shape[-1]
    if grid is None:
        return values.reshape(1, 1, -1).transpose(2, 0, 1), stride
    cells = values.reshape(*grid, -1)
    cells = cells.reshape(-1, *cells.shape[-3:]).mean(0)
    return cells.transpose(2, 0, 1), tile // cells.shape[0]


def _profile(source: TileSource, about: About, picture: np.ndarray, step: int) -> dict[str, Any]:
    grid = source.scenes[0].grid
    a, b, c, d, e, f = grid.transform[:6]
    classes = picture.dtype.kind in "iu"
    return {
        "driver": "GTiff", "count": len(picture), "height": -(-grid.rows // step), "width": -(-grid.cols // step),
        "dtype": "uint8" if classes else "float32", "nodata": UNLABELLED if classes else float("nan"), "crs": grid.crs,
        "transform": rasterio.Affine(a * step, b * step, c, d * step, e * step, f),
        "tiled": True, "blockxsize": 128, "blockysize": 128, "interleave": "pixel", "BIGTIFF": "IF_SAFER",
    }  # fmt: skip


def _names(about: About, count: int) -> tuple[str, ...]:
    return about.names if len(about.names) == count else tuple(f"{about.what} {number}" for number in range(count))


def _empty(file: Any) -> None:
    """No data everywhere, block by block."""
    for _, window in file.block_windows(1):
        file.write(np.full((file.count, window.height, window.width), file.nodata, file.dtypes[0]), window=window)


def _put(file: Any, picture: np.ndarray, corner: tuple[int, int], step: int) -> None:
    """A tile's picture at its place. The last tiles of a scene are moved inwards: their pixel is the last one."""
    top, left = (-(-start // step) for start in corner)
    top, left = min(max(top, 0), file.height - 1), min(max(left, 0), file.width - 1)
    rows, cols = min(picture.shape[1], file.height - top), min(picture.shape[2], file.width - left)
    numbers = picture if picture.dtype.kind == "f" else np.where(picture < 0, UNLABELLED, picture)
    file.write(numbers[:, :rows, :cols].astype(file.dtypes[0]), window=Window(left, top, cols, rows))
