"""A scene as a user of the served encoder sends it: made from the spec, so that nothing of the data travels with it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Inexact
from rasterio.io import MemoryFile
from rasterio.transform import Affine

from manyviews.source import FILE, NAME
from manyviews_satellite.reading.options import Options
from manyviews_satellite.spec import TileSpec

if TYPE_CHECKING:
    import pandas as pd

PLACE = "EPSG:32632", 500_000.0, 5_300_000.0
METRES = 10.0


def example(spec: TileSpec) -> pd.DataFrame | None:
    """One row with the bytes of a tile of noise around the bands' means: a GeoTIFF, or a .npy stack of several dates.

    None where no single file is a sample: dates that are files of several folders, or whose bands only files can name.
    """
    import pandas as pd

    if spec.windows.dates == 1:
        return pd.DataFrame({FILE: [_geotiff(spec)]})
    if spec.windows.pairs or spec.reading.bands is None or "t" not in (spec.reading.axes or "t"):
        return None
    return pd.DataFrame({FILE: [_stack(spec, spec.reading.bands)], NAME: ["dates.npy"]})


def _geotiff(spec: TileSpec) -> bytes:
    crs, left, top = PLACE
    size, names = spec.metres or METRES, list(dict.fromkeys(band.name for band in spec.bands))
    numbers = _numbers(spec, 0)
    if spec.complex:
        numbers = numbers[::2] + 1j * numbers[1::2]
    profile = {"driver": "GTiff", "count": len(names), "height": numbers.shape[1], "width": numbers.shape[2]}
    with MemoryFile() as memory:
        transform = Affine(size, 0, left, 0, -size, top)
        with memory.open(**profile, dtype=numbers.dtype.name, crs=crs, transform=transform, compress="deflate") as file:
            file.descriptions = tuple(names)
            file.write(numbers)
        written: bytes = memory.read()
    return written


def _stack(spec: TileSpec, bands: tuple[str, ...]) -> bytes:
    """Of all bands that such stacks have; those that are not read are 0."""
    tile = spec.windows.tile
    numbers = np.zeros((spec.windows.dates, len(bands), tile, tile), np.float32)
    places = [bands.index(band.name) for band in spec.bands]
    for date in range(len(numbers)):
        numbers[date, places] = _numbers(spec, date)
    order, file = spec.reading.axes or "tbyx", io.BytesIO()
    left, numbers = ("tbyx", numbers) if "b" in order else ("tyx", numbers[:, 0])
    np.save(file, numbers.transpose([left.index(axis) for axis in order]))
    return file.getvalue()


def _numbers(spec: TileSpec, seed: int) -> Inexact[np.ndarray, "bands rows cols"]:
    """As a file holds them: what the recipe scales is divided."""
    told: Options = spec.reading
    mean, std = (np.array(values)[:, None, None] for values in (spec.mean, spec.std))
    noise: Float[np.ndarray, "bands rows cols"] = np.random.default_rng(seed).normal(
        size=(len(spec.bands), spec.windows.tile, spec.windows.tile)
    )
    physical = mean + std * noise
    stored: np.ndarray = (physical - (told.offset or 0.0)) / (told.scale or 1.0)
    return stored.astype(np.float32)
