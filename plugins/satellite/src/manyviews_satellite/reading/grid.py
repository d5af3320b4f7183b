"""A grid of pixels on the ground, or in nobody's coordinates: where pixels lie, and which pixel lies at a place."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from rasterio.crs import CRS
from rasterio.transform import Affine
from rasterio.warp import transform as reproject

Points = Float[np.ndarray, "*shape"]
DEGREE = 111_320.0
"""Metres of a degree of latitude."""


@dataclass(frozen=True)
class Grid:
    """Rows and columns with their place in a coordinate system."""

    rows: int
    cols: int
    transform: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    """Affine: (column, row) to (x, y), as `a, b, c, d, e, f`."""
    crs: str | None = None
    """As WKT or `EPSG:number`; None: not on the ground."""

    @property
    def affine(self) -> Affine:
        return Affine(*self.transform)

    @property
    def metres(self) -> float:
        """Size of a pixel, the root of its area; NaN where coordinates are none of the ground."""
        if self.crs is None:
            return math.nan
        crs, area = CRS.from_user_input(self.crs), abs(self.affine.determinant)
        if crs.is_geographic:
            _, latitude = self.points(np.array([self.rows / 2]), np.array([self.cols / 2]))
            return math.sqrt(area * math.cos(math.radians(min(abs(float(latitude[0])), 89.0)))) * DEGREE
        return math.sqrt(area) * float(crs.linear_units_factor[1])

    def matches(self, other: Grid) -> bool:
        """Whether the same numbers of rows and columns name the same places, to a hundredth of a pixel."""
        if (self.rows, self.cols) != (other.rows, other.cols) or not same_crs(self.crs, other.crs):
            return False
        size = math.sqrt(abs(self.affine.determinant))
        corners = np.array([0.0, 0.0, self.rows]), np.array([0.0, self.cols, 0.0])
        mine, theirs = (np.stack(grid.points(*corners)) for grid in (self, other))
        return bool((np.linalg.norm(mine - theirs, axis=0) <= 0.01 * size).all())

    def points(self, rows: Points, cols: Points) -> tuple[Points, Points]:
        """Coordinates of places given in pixels; a pixel's centre is at a half."""
        a, b, c, d, e, f = self.transform[:6]
        return a * cols + b * rows + c, d * cols + e * rows + f

    def pixels(self, x: Points, y: Points, crs: str | None) -> tuple[Points, Points]:
        """Rows and columns, not rounded, of places in a coordinate system."""
        if self.crs is not None and crs is not None and not same_crs(self.crs, crs):
            found = reproject(CRS.from_user_input(crs), CRS.from_user_input(self.crs), np.ravel(x), np.ravel(y))
            x, y = (np.asarray(part, dtype=np.float64).reshape(x.shape) for part in found[:2])
        a, b, c, d, e, f = (~self.affine)[:6]
        return d * x + e * y + f, a * x + b * y + c


def same_crs(one: str | None, two: str | None) -> bool:
    """Whether two names mean one coordinate system."""
    if one == two:
        return True
    if one is None or two is None:
        return False
    return bool(CRS.from_user_input(one) == CRS.from_user_input(two))
