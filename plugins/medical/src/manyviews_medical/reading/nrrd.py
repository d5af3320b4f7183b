"""NRRD files, by pynrrd."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nrrd
import numpy as np
from jaxtyping import Float

from manyviews.errors import DataError
from manyviews_medical.reading.scan import Scan

SUFFIXES = (".nrrd", ".nhdr")
TO_RAS = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
    "left-posterior-superior": (-1, -1, 1),
    "lps": (-1, -1, 1),
}
"""Signs that bring a `space` of the format to right, anterior, superior."""


def read_nrrd(path: Path) -> Scan:
    """Voxels and grid; axes that are not of space (time, colours) come last."""
    try:
        voxels, header = nrrd.read(str(path))
    except (nrrd.NRRDError, OSError, EOFError, ValueError) as error:
        told = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path}: cannot be read as NRRD, or is truncated: {told}") from error
    if "RGB" in " ".join(str(kind) for kind in header.get("kinds", ())).upper():
        raise DataError(f"{path}: holds RGB colours; expected one number a voxel: write one channel or its grey value")
    given = header["space directions"] if "space directions" in header else np.diag(_spacings(path, header))
    directions = np.asarray(given, dtype=np.float64)
    of_space = ~np.isnan(directions).any(1)
    voxels = np.moveaxis(voxels, np.flatnonzero(~of_space), range(-int((~of_space).sum()), 0)) if not of_space.all() else voxels
    return Scan(path, voxels, _affine(path, header, directions[of_space]))


def _spacings(path: Path, header: dict[str, Any]) -> Float[np.ndarray, "axes"]:
    if "spacings" not in header:
        raise DataError(
            f"{path}: says neither `space directions` nor `spacings`: voxels without a size. Write it with one of them"
        )
    return np.asarray(header["spacings"], dtype=np.float64)


def _affine(path: Path, header: dict[str, Any], directions: Float[np.ndarray, "axes space"]) -> Float[np.ndarray, "4 4"]:
    affine = np.eye(4)
    if directions.shape != (3, 3):
        return affine  # how many dimensions are wanted is said by who reads it
    space = str(header.get("space", "lps")).lower()
    if space not in TO_RAS:
        raise DataError(f"{path}: space {space!r} is none of {', '.join(sorted(TO_RAS))}; which way is up is not known")
    affine[:3, :3] = directions.T
    affine[:3, 3] = np.asarray(header.get("space origin", np.zeros(3)), dtype=np.float64)
    return np.diag([*TO_RAS[space], 1]) @ affine
