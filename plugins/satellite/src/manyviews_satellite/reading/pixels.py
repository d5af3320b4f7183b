"""Windows of pixels out of files: GDAL's, and .npy stacks."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from einops import rearrange
from jaxtyping import Bool, Shaped
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from manyviews.errors import DataError
from manyviews_satellite.reading.handles import opened, state
from manyviews_satellite.reading.header import COMPLEX_INTEGERS, Header

Window = tuple[int, int, int, int]
"""Row, column, height, width."""


def read_pixels(header: Header, numbers: list[int], window: Window) -> Shaped[np.ndarray, "bands rows cols"]:
    """Bands of a file (numbered from 1) in a window inside of it; of complex numbers both parts, one behind the other.

    Raises:
        DataError: The file cannot be read there; names it and the place.
    """
    try:
        found: np.ndarray = (
            _read_stack(header, numbers, window) if header.axes else opened(header.path).read(numbers, window=_window(window))
        )
    except RasterioError as error:
        raise DataError(_failed(header, window)) from error
    if found.dtype.kind != "c":
        return found
    parts = np.stack([found.real, found.imag], axis=1)
    kind = np.int16 if COMPLEX_INTEGERS in header.dtypes else parts.dtype
    return rearrange(parts, "bands parts rows cols -> (bands parts) rows cols").astype(kind, copy=False)


def read_mask(header: Header, window: Window) -> Bool[np.ndarray, "rows cols"]:
    """Where the file's own mask or alpha band lets pixels stand."""
    try:
        mask: np.ndarray = opened(header.path).read_masks(1, window=_window(window)) > 0
    except RasterioError as error:
        raise DataError(_failed(header, window)) from error
    return mask


def _window(window: Window) -> RasterWindow:
    row, col, height, width = window
    return RasterWindow(col, row, width, height)


def _failed(header: Header, window: Window) -> str:
    row, col, height, width = window
    return (
        f"{header.path}: cannot be read at rows {row} to {row + height}, columns {col} to {col + width}: "
        "its data are damaged; copy or download it anew"
    )


def stack(path: str) -> np.ndarray:
    """A .npy file, mapped into memory."""
    return _mapped(path, state(path))


@lru_cache(maxsize=16)
def _mapped(path: str, state: tuple[int, int]) -> np.ndarray:
    """A file that was written anew is another one."""
    found: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return found


def _read_stack(header: Header, numbers: list[int], window: Window) -> Shaped[np.ndarray, "bands rows cols"]:
    row, col, height, width = window
    chosen = {"t": header.date, "y": slice(row, row + height), "x": slice(col, col + width), "b": slice(None)}
    part = stack(header.path)[tuple(chosen[axis] for axis in header.axes)]
    left = header.axes.replace("t", "")
    if "b" not in left:
        return np.array(rearrange(part, f"{' '.join(left)} -> 1 y x"))
    ordered = rearrange(part, f"{' '.join(left)} -> b y x")
    return np.array(ordered[[number - 1 for number in numbers]])
