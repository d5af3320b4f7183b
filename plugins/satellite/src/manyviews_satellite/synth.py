"""Scenes that are made here: for the demo, where no images lie at hand, and for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from jaxtyping import Float, Int, Shaped
from rasterio.transform import Affine

REFLECTANCES = {
    "water": (0.08, 0.06, 0.04, 0.02, 0.01, 0.01),
    "forest": (0.03, 0.05, 0.03, 0.35, 0.15, 0.07),
    "field": (0.06, 0.09, 0.08, 0.40, 0.25, 0.15),
    "soil": (0.12, 0.15, 0.19, 0.26, 0.34, 0.30),
    "town": (0.15, 0.17, 0.19, 0.24, 0.26, 0.24),
}
"""Of blue, green, red, near and two bands of shortwave infrared."""
BANDS = ("B2", "B3", "B4", "B8", "B11", "B12")


def landscape(rows: int, cols: int, classes: int, seed: int, grain: int = 24) -> Int[np.ndarray, "rows cols"]:
    """Patches of ground: each pixel is of the class of the nearest of some random places, seen through rippled glass."""
    random = np.random.default_rng(seed)
    count = max(rows * cols // grain**2, classes)
    centres = random.uniform(0, 1, (count, 2)) * (rows, cols)
    kinds = random.permutation(np.arange(count) % classes)
    y, x = np.mgrid[:rows, :cols].astype(float)
    waves = random.uniform(0.02, 0.12, 4) * np.array([1, 1, 2, 2])
    y = y + grain / 6 * np.sin(waves[0] * 6 * x + waves[2] * y)
    x = x + grain / 6 * np.sin(waves[1] * 6 * y + waves[3] * x)
    nearest = np.full((rows, cols), np.inf)
    found = np.zeros((rows, cols), np.int64)
    for centre, kind in zip(centres, kinds, strict=True):
        distance = (y - centre[0]) ** 2 + (x - centre[1]) ** 2
        closer = distance < nearest
        nearest[closer], found[closer] = distance[closer], kind
    return found


def reflectances(classes: Int[np.ndarray, "rows cols"], seed: int, season: float = 0.0) -> Float[np.ndarray, "bands rows cols"]:
    """Noisy light of each pixel's class, with texture of its own; `season` (0 to 1) dries forests and fields."""
    random = np.random.default_rng(seed)
    rows, cols = classes.shape
    y, x = np.mgrid[:rows, :cols]
    colours = np.array(list(REFLECTANCES.values()))
    dry = colours.copy()
    dry[1:3] = 0.5 * (colours[1:3] + colours[3])
    light = ((1 - season) * colours + season * dry)[classes].transpose(2, 0, 1)
    texture = np.stack(
        [
            np.ones_like(x),
            1 + 0.15 * random.normal(size=x.shape),
            1 + 0.2 * np.sin(x / 1.5),
            1 + 0.1 * np.sin(y / 4),
            1 + 0.3 * ((x // 3 + y // 3) % 2),
        ]
    )
    rough = np.take_along_axis(texture, classes[None], 0)
    haze = random.uniform(0, 0.03) + random.normal(scale=0.01, size=light.shape)
    made: np.ndarray = np.maximum(light * rough * random.uniform(0.9, 1.1) + haze, 0.001)
    return made


def write_scene(
    path: Path,
    pixels: Shaped[np.ndarray, "bands rows cols"],
    *,
    names: Sequence[str] | None = BANDS,
    crs: str | None = "EPSG:32632",
    corner: tuple[float, float] = (600_000.0, 5_200_000.0),
    metres: float = 10.0,
    **profile: Any,
) -> Path:
    """A GeoTIFF."""
    count, rows, cols = pixels.shape
    given = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate", **profile}
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=rows, width=cols, dtype=str(given.pop("dtype", pixels.dtype)), crs=crs,
        transform=Affine(metres, 0.0, corner[0], 0.0, -metres, corner[1]), **given,
    ) as file:  # fmt: skip
        file.write(pixels)
        if names is not None:
            file.descriptions = tuple(names)
    return path


def weathered(light: Float[np.ndarray, "bands rows cols"], seed: int) -> Float[np.ndarray, "bands rows cols"]:
    """As another day shows it: haze, more of it in blue, and a sun that is higher or lower, not alike in all bands."""
    random = np.random.default_rng(seed)
    haze = random.uniform(0, 0.12) * np.array([1, 0.8, 0.6, 0.3, 0.1, 0.05])
    sun = np.exp(random.normal(0, 0.25) + random.normal(0, 0.1, len(haze)))
    return light * sun[:, None, None] + haze[:, None, None]


def numbers(light: Float[np.ndarray, "bands rows cols"]) -> Shaped[np.ndarray, "bands rows cols"]:
    """As Sentinel-2's products store it: reflectance times 10,000."""
    return (light * 10_000).round().astype(np.uint16)


def speckled(
    intensity: Float[np.ndarray, "rows cols"], seed: int
) -> tuple[Float[np.ndarray, "rows cols"], Float[np.ndarray, "rows cols"]]:
    """Real and imaginary part of fully developed single-look speckle: independent N(0, R/2) (Goodman 1976)."""
    random = np.random.default_rng(seed)
    real, imaginary = np.sqrt(intensity / 2) * random.normal(size=(2, *intensity.shape))
    return real, imaginary


def write_slc(path: Path, intensity: Float[np.ndarray, "rows cols"], seed: int) -> Path:
    """A single-look complex image of radar, in its own geometry."""
    real, imaginary = speckled(intensity, seed)
    return write_scene(path, (real + 1j * imaginary).astype(np.complex64)[None], names=["VV"], crs=None)
