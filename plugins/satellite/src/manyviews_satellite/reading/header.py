"""What a raster's header tells, and whether the file is as long as it says. No pixel is read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from manyviews.errors import DataError
from manyviews_satellite.reading.grid import Grid
from manyviews_satellite.reading.handles import once

COMPLEX_INTEGERS = "complex_int16"
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""What TIFF and BigTIFF files begin with."""
MOST_BLOCKS = 1 << 18
"""Of a band, asked where they end; of more, some rows of blocks are: a file of a kilobyte may claim billions."""
BEYOND = 400.0
"""Degrees that no place on Earth has."""


@dataclass(frozen=True)
class Header:
    """A raster file, or a .npy stack's one date."""

    path: str
    grid: Grid
    dtypes: tuple[str, ...]
    """Of each band, as NumPy names it; `complex_int16` for GDAL's pairs of int16."""
    nodata: tuple[float | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    names: tuple[str | None, ...]
    """What the file calls its bands: descriptions, or colours."""
    block: tuple[int, int]
    """Rows and columns that are stored together."""
    mask: bool = False
    """Whether a mask or an alpha band says which pixels are valid."""
    overviews: bool = False
    gcps: bool = False
    """Whether it lies on the ground by control points alone: its own rows and columns are kept."""
    when: str | None = None
    """What its tags say of the time."""
    date: int | None = None
    """Of a .npy stack of dates: which one."""
    axes: str = ""
    """Of a .npy stack: what its axes are, letters of `t`, `b`, `y`, `x`."""

    @property
    def bands(self) -> int:
        return len(self.dtypes)

    @property
    def complex(self) -> bool:
        return any(dtype.startswith("complex") for dtype in self.dtypes)


def read_header(path: str) -> Header:
    """The header of a file that GDAL knows.

    Raises:
        DataError: Cannot be opened, no pixels, types that are no numbers, shorter than its header says.
    """
    try:
        with once(path) as dataset:
            return _header(path, dataset)
    except RasterioError as error:
        raise DataError(f"{path}: cannot be read as an image: {_first(error)}{_hint(path)}") from error


def _header(path: str, dataset: DatasetReader) -> Header:
    if not dataset.count:
        raise DataError(f"{path}: a container without bands of its own; name one of its {len(dataset.subdatasets)} subdatasets")
    _refuse_truncated(path, dataset)
    crs, gcps = _crs(dataset)
    return Header(
        path,
        Grid(dataset.height, dataset.width, tuple(dataset.transform[:6]), crs),
        tuple(dataset.dtypes),
        tuple(dataset.nodatavals),
        tuple(dataset.scales),
        tuple(dataset.offsets),
        _names(dataset),
        dataset.block_shapes[0],
        mask=any(flag.name in ("per_dataset", "alpha") for flag in dataset.mask_flag_enums[0]),
        overviews=bool(dataset.overviews(1)),
        gcps=gcps,
        when=_when(dataset),
    )


def _crs(dataset: DatasetReader) -> tuple[str | None, bool]:
    """The coordinate system of its rows and columns, and whether control points alone say where they lie.

    Radar products in their own geometry name a geographic system and give no place in it, or control points only.
    """
    if dataset.gcps[0]:
        return None, True
    beyond = dataset.crs and dataset.crs.is_geographic and max(map(abs, dataset.bounds)) > BEYOND
    return (dataset.crs.to_wkt() if dataset.crs and not beyond else None), False


def _names(dataset: DatasetReader) -> tuple[str | None, ...]:
    """Descriptions; colours where all bands have one, or a last one is no colour (infrared)."""
    if any(dataset.descriptions):
        return tuple(dataset.descriptions)
    colours = [colour.name for colour in dataset.colorinterp]
    known = {"red", "green", "blue"}
    return tuple(colour if known <= set(colours) and colour in known | {"alpha"} else None for colour in colours)


def _when(dataset: DatasetReader) -> str | None:
    tags = {key.upper(): value for key, value in dataset.tags().items()}
    return next((tags[key] for key in ("TIFFTAG_DATETIME", "DATETIME", "ACQUISITIONDATETIME", "DATE") if tags.get(key)), None)


def _refuse_truncated(path: str, dataset: DatasetReader) -> None:
    """A TIFF's header says where each block ends: a file cut off on its way opens well and fails in mid-epoch."""
    if dataset.driver not in ("GTiff", "COG") or not os.path.isfile(path):
        return
    size = os.path.getsize(path)
    bands = [1] if dataset.interleaving is None or dataset.interleaving.name == "pixel" else range(1, dataset.count + 1)
    for band in bands:
        rows, cols = dataset.block_shapes[band - 1]
        down, across = -(-dataset.height // rows), -(-dataset.width // cols)
        for number in range(0, down * across, max(down * across // MOST_BLOCKS, 1)):
            row, col = divmod(number, across)
            start, length = (
                dataset.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=band) for what in ("OFFSET", "SIZE")
            )
            if start and length and int(start) + int(length) > size:
                raise DataError(
                    f"{path}: truncated: its block at row {row * rows}, column {col * cols} ends at byte "
                    f"{int(start) + int(length):,}, and the file has {size:,}; copy or download it anew"
                )


def _first(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _hint(path: str) -> str:
    if "://" in path or path.startswith("/vsi"):
        return "\n  a remote file needs a network, and for some stores credentials in GDAL's environment variables"
    if not Path(path).is_file():
        return ""
    with Path(path).open("rb") as file:
        start = file.read(4)
    if not start:
        return "\n  the file is empty (0 bytes); copy or download it anew"
    return "\n  it begins as a TIFF does and seems truncated: copy or download it anew" if start in TIFF else ""
