"""Stacks of pixels in .npy files: what their axes are is asked where it cannot be told."""

from __future__ import annotations

import numpy as np

from manyviews.errors import DataError
from manyviews_satellite.reading.grid import Grid
from manyviews_satellite.reading.header import Header
from manyviews_satellite.reading.pixels import stack

COMMON = {2: ("yx",), 3: ("byx", "yxb", "tyx"), 4: ("tyxb", "tbyx")}
"""Orders of axes that are met with: dates `t`, bands `b`, rows `y`, columns `x`."""


def read_array(path: str) -> np.ndarray:
    """A .npy file, mapped into memory.

    Raises:
        DataError: No array of numbers.
    """
    try:
        array = stack(path)
    except (ValueError, EOFError, OSError) as error:
        raise DataError(f"{path}: cannot be read as a .npy array: {str(error).splitlines()[0]}") from error
    if array.dtype.kind not in "uifc":
        raise DataError(f"{path}: holds {array.dtype}, expected numbers")
    return array


def read_stack(path: str, axes: str | None, bands: int | None) -> list[Header]:
    """A header for each date of a stack.

    Args:
        path: The file.
        axes: Order of its axes, such as `tyxb`; None: as its shape and the number of bands tell.
        bands: Number of bands, where it is known.

    Raises:
        DataError: No array of numbers, or its axes cannot be told.
    """
    array = read_array(path)
    order = _order(path, array.shape, axes, bands)
    size = dict(zip(order, array.shape, strict=True))
    count = size.get("b", 1)
    dates: list[int | None] = list(range(size["t"])) if "t" in size else [None]
    return [
        Header(
            path,
            Grid(size["y"], size["x"]),
            (array.dtype.name,) * count,
            (None,) * count,
            (1.0,) * count,
            (0.0,) * count,
            (None,) * count,
            (min(size["y"], 512), min(size["x"], 512)),
            date=date,
            axes=order,
        )
        for date in dates
    ]


def _order(path: str, shape: tuple[int, ...], axes: str | None, bands: int | None) -> str:
    if axes is not None:
        if len(axes) != len(shape) or len(set(axes)) != len(axes) or not set("yx") <= set(axes) <= set("tbyx"):
            raise DataError(f"data.axes: {axes!r} does not name the {len(shape)} axes of {path}, whose shape is {shape}")
        return axes
    fitting = [order for order in COMMON.get(len(shape), ()) if _fits(order, shape, bands)]
    if len(fitting) != 1:
        raise DataError(
            f"{path}: an array of shape {shape}, whose axes cannot be told{_knowing(bands)}\n"
            f"say data.bands (their names), and data.axes: t dates, b bands, y rows, x columns, such as {_such(len(shape))}"
        )
    return fitting[0]


def _fits(order: str, shape: tuple[int, ...], bands: int | None) -> bool:
    if "b" not in order:
        return (bands in (None, 1) and len(shape) == 2) or (bands == 1 and "t" in order)
    return bands is not None and shape[order.index("b")] == bands


def _knowing(bands: int | None) -> str:
    return "" if bands is None else f" for {bands} bands"


def _such(axes: int) -> str:
    return {2: "yx", 3: "yxb", 4: "tyxb"}.get(axes, "tyxb")


def values(path: str) -> np.ndarray:
    """A small map, whole."""
    return np.array(np.squeeze(stack(path)))
