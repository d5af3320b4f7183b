"""Label maps of tiles: from one map over the ground, or from a mask beside each image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Int

from manyviews.errors import DataError
from manyviews_satellite.reading.arrays import values
from manyviews_satellite.reading.find import SUFFIXES
from manyviews_satellite.reading.header import Header, read_header
from manyviews_satellite.reading.pixels import Window, read_pixels
from manyviews_satellite.reading.scene import Scene
from manyviews_satellite.targets import Map, named

IGNORE = -1


@dataclass(frozen=True)
class Mask:
    """A file of one scene's classes."""

    path: str
    header: Header | None
    """None: a .npy file."""
    size: tuple[int, int]

    @classmethod
    def of(cls, path: str, scene: Scene) -> Mask:
        """Read once, so that a tile costs its pixels alone.

        Raises:
            DataError: It has not as many pixels as its scene.
        """
        header = None if path.lower().endswith(".npy") else read_header(path)
        size, own = values(path).shape if header is None else (header.grid.rows, header.grid.cols), scene.grid
        if size != (own.rows, own.cols):
            pixels = " x ".join(map(str, size))
            raise DataError(f"{path}: {pixels} pixels, and its image {scene.name} has {own.rows} x {own.cols}")
        return cls(path, header, (own.rows, own.cols))

    def __call__(self, window: Window) -> np.ndarray:
        """Its numbers in a window; NaN outside of the scene."""
        row, col, height, width = window
        top, left = max(row, 0), max(col, 0)
        bottom, right = min(row + height, self.size[0]), min(col + width, self.size[1])
        whole = np.full((height, width), np.nan)
        if self.header is None:
            part = values(self.path)[top:bottom, left:right]
        else:
            part = read_pixels(self.header, [1], (top, left, bottom - top, right - left))[0]
        whole[top - row : bottom - row, left - col : right - col] = part
        return whole


@dataclass(frozen=True)
class Masks:
    """A class for each pixel of scenes."""

    over: Map | None
    """One map over the ground."""
    beside: tuple[Mask, ...] = ()
    """Or a file for each scene."""
    numbers: tuple[float, ...] = ()
    """What the files hold for each class."""
    names: Mapping[int, str] = field(default_factory=dict)
    """Of these, where they are known."""

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(named(number, self.names) for number in self.numbers)

    @classmethod
    def of_map(cls, over: Map) -> Masks:
        """From one map, whose ignored values are no class."""
        found = np.unique(over.numbers[np.isfinite(over.numbers.astype(np.float64))])
        return cls(over, numbers=tuple(float(number) for number in found if number not in over.ignore), names=over.names)

    @classmethod
    def in_folder(cls, scenes: Sequence[Scene], name: str, ignore: Sequence[float], names: Mapping[int, str]) -> Masks:
        """From the files of the images' own names in a folder beside theirs.

        Raises:
            DataError: A scene has none, or one of another size.
        """
        files, found = [], set()
        for scene in scenes:
            image = Path(scene.name)
            folder = image.parent.parent / name
            beside = sorted(path for path in folder.glob(f"{image.stem}.*") if path.suffix.lower() in SUFFIXES)
            if not beside:
                raise DataError(f"{scene.name}: has no mask {folder / image.stem}.* beside it (data.target={name})")
            files.append(Mask.of(str(beside[0]), scene))
            found |= set(np.unique(files[-1]((0, 0, scene.grid.rows, scene.grid.cols))).tolist())
        return cls(None, tuple(files), tuple(float(number) for number in sorted(found) if number not in ignore), names)

    def __call__(self, scene: Scene, number: int, window: Window) -> Int[np.ndarray, "rows cols"]:
        """Classes of a window; -1 where there is none."""
        told = self.over.at(scene, window) if self.over is not None else self.beside[number](window)
        found = np.full(told.shape, IGNORE, np.int64)
        for place, value in enumerate(self.numbers):
            found[told == value] = place
        return found
