"""A scene: bands over one grid, out of one file or many, read by windows in the numbers that the files hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Integer, Shaped

from manyviews_satellite.reading.grid import Grid
from manyviews_satellite.reading.header import COMPLEX_INTEGERS, Header
from manyviews_satellite.reading.pixels import Window, read_mask, read_pixels
from manyviews_satellite.spec import Band

Pixels = Shaped[np.ndarray, "bands rows cols"]
Places = Float[np.ndarray, "rows cols"]
Valid = Bool[np.ndarray, "rows cols"]
Read = Callable[[Window], tuple[Pixels, Valid]]


@dataclass(frozen=True)
class Layer:
    """One band of a scene in its file."""

    header: Header
    number: int
    """Of the band in the file, from 1."""
    band: Band
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None


@dataclass(frozen=True)
class Quality:
    """A layer that says what each pixel is: fill, cloud."""

    header: Header
    bits: int = 0
    """A pixel with any of these bits is not valid (Landsat's QA)."""
    classes: tuple[int, ...] = ()
    """A pixel of any of these classes is not valid (Sentinel-2's SCL)."""

    def good(self, numbers: Integer[np.ndarray, "rows cols"]) -> Valid:
        """Where it lets pixels stand."""
        good: Valid = ((numbers.astype(np.int64) & self.bits) == 0) & ~np.isin(numbers, self.classes)
        return good


@dataclass(frozen=True)
class Scene:
    """Bands over one grid."""

    name: str
    """Path of its file, or what its files' paths share."""
    grid: Grid
    layers: tuple[Layer, ...]
    time: tuple[float, float, float]
    sensor: str | None = None
    place: str = ""
    """Scenes of one place that are not georeferenced (dates of a stack) share it."""
    quality: Quality | None = None
    label: str = ""
    """The folder that its file lies in."""

    @cached_property
    def dtype(self) -> np.dtype[np.generic]:
        """Of its pixels, all bands together."""
        kinds = {
            "int16" if layer.header.dtypes[layer.number - 1] == COMPLEX_INTEGERS else _real(layer) for layer in self.layers
        }
        return np.result_type(*kinds)

    @cached_property
    def bands(self) -> tuple[Band, ...]:
        """Its bands; of complex numbers both parts, one behind the other."""
        return tuple(band for layer in self.layers for band in _parts(layer))

    @cached_property
    def scaling(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Scale and offset of each band."""
        pairs = [(layer.scale, layer.offset) for layer in self.layers for _ in _parts(layer)]
        return tuple(scale for scale, _ in pairs), tuple(offset for _, offset in pairs)

    @property
    def block(self) -> tuple[int, int]:
        """Rows and columns that are stored together."""
        return self.layers[0].header.block

    @cached_property
    def checked(self) -> bool:
        """Whether anything can make a pixel invalid."""
        found = [layer.nodata is not None or layer.header.mask or self.dtype.kind == "f" for layer in self.layers]
        return self.quality is not None or any(found) or not self._aligned

    @cached_property
    def _aligned(self) -> bool:
        return all(layer.header.grid.matches(self.grid) for layer in self.layers)

    def read(self, window: Window) -> tuple[Pixels, Valid]:
        """Pixels of a window, and where they are valid; what lies outside of the scene is 0 and not valid."""
        return _padded(self._inside, window, self.grid, len(self.bands), self.dtype)

    def _inside(self, window: Window) -> tuple[Pixels, Valid]:
        if self._aligned and len({layer.header.path for layer in self.layers}) == 1:
            found = _valid_pixels(self.layers, read_pixels(self.layers[0].header, self._numbers, window), window)
        else:
            parts = [self._one(layer, window) for layer in self.layers]
            found = np.concatenate([pixels for pixels, _ in parts]), np.logical_and.reduce([valid for _, valid in parts])
        if self.quality is None:
            return found
        numbers, seen = self._resampled(self.quality.header, lambda w: _quality(self.quality, w), window)
        return found[0], found[1] & (numbers[0] > 0) & seen

    @cached_property
    def _numbers(self) -> list[int]:
        return [layer.number for layer in self.layers]

    def _one(self, layer: Layer, window: Window) -> tuple[Pixels, Valid]:
        """One layer on the scene's grid."""
        return self._resampled(
            layer.header, lambda w: _valid_pixels((layer,), read_pixels(layer.header, [layer.number], w), w), window
        )

    def _resampled(self, header: Header, read: Read, window: Window) -> tuple[Pixels, Valid]:
        if header.grid.matches(self.grid):
            return read(window)
        rows, cols = header.grid.pixels(*self.places(window), self.grid.crs)
        return gathered(read, header.grid, rows, cols)

    def places(self, window: Window) -> tuple[Places, Places]:
        """Coordinates of the centres of a window's pixels, row by row."""
        row, col, height, width = window
        rows, cols = np.meshgrid(np.arange(height) + row + 0.5, np.arange(width) + col + 0.5, indexing="ij")
        return self.grid.points(rows, cols)

    def read_at(self, other: Scene, window: Window) -> tuple[Pixels, Valid]:
        """The pixels of this scene that lie where those of another's window do: the nearest ones, unchanged."""
        if self.grid.matches(other.grid):
            return self.read(window)
        rows, cols = self.grid.pixels(*other.places(window), other.grid.crs)
        return gathered(self.read, self.grid, rows, cols)


def _real(layer: Layer) -> str:
    kind = np.dtype(layer.header.dtypes[layer.number - 1])
    return {"c8": "float32", "c16": "float64"}.get(f"{kind.kind}{kind.itemsize}", kind.name)


def _parts(layer: Layer) -> tuple[Band, ...]:
    if not layer.header.dtypes[layer.number - 1].startswith("complex"):
        return (layer.band,)
    return tuple(layer.band.model_copy(update={"part": part}) for part in ("real", "imaginary"))


def _valid_pixels(layers: Sequence[Layer], pixels: Pixels, window: Window) -> tuple[Pixels, Valid]:
    """Pixels that are numbers, seen, and not masked in any band."""
    header = layers[0].header
    valid = np.ones(pixels.shape[1:], dtype=bool)
    if pixels.dtype.kind == "f":
        valid &= np.isfinite(pixels).all(0)
    step = len(pixels) // len(layers)
    for number, layer in enumerate(layers):
        if layer.nodata is not None and not np.isnan(layer.nodata):
            part = pixels[number * step : (number + 1) * step]
            valid &= (part != layer.nodata).any(0)  # of a complex number both parts
    if header.mask:
        valid &= read_mask(header, window)
    return pixels, valid


def _quality(quality: Quality | None, window: Window) -> tuple[Pixels, Valid]:
    assert quality is not None
    numbers = read_pixels(quality.header, [1], window)
    return quality.good(numbers[0])[None].astype(np.uint8), np.ones(numbers.shape[1:], dtype=bool)


def _padded(read: Read, window: Window, grid: Grid, bands: int, dtype: np.dtype[np.generic]) -> tuple[Pixels, Valid]:
    row, col, height, width = window
    top, left, bottom, right = max(row, 0), max(col, 0), min(row + height, grid.rows), min(col + width, grid.cols)
    if (top, left, bottom, right) == (row, col, row + height, col + width):
        return read(window)
    pixels, valid = np.zeros((bands, height, width), dtype), np.zeros((height, width), dtype=bool)
    if top < bottom and left < right:
        rows, cols = slice(top - row, bottom - row), slice(left - col, right - col)
        pixels[:, rows, cols], valid[rows, cols] = read((top, left, bottom - top, right - left))
    return pixels, valid


def gathered(read: Read, grid: Grid, rows: Places, cols: Places) -> tuple[Pixels, Valid]:
    """The pixels in which places lie, given in rows and columns of a grid; not valid where they lie outside of it."""
    row, col = np.floor(rows).astype(np.int64), np.floor(cols).astype(np.int64)
    inside = (row >= 0) & (row < grid.rows) & (col >= 0) & (col < grid.cols)
    if not inside.any():
        pixels, _ = read((0, 0, 1, 1))
        return np.zeros((len(pixels), *row.shape), pixels.dtype), inside
    row, col = np.where(inside, row, row[inside][0]), np.where(inside, col, col[inside][0])
    top, left = int(row.min()), int(col.min())
    pixels, valid = read((top, left, int(row.max()) - top + 1, int(col.max()) - left + 1))
    return pixels[:, row - top, col - left], valid[row - top, col - left] & inside
