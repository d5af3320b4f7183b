"""A volume as it was read, whatever the format: numbers as stored, and where they lie in the patient.

All that is wrong with a volume and passes silently elsewhere is refused here, in words: one NaN voxel turns a whole crop
into zeros, four dimensions are taken for channels, a sheared or zero affine for a scanner's grid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Shaped

from manyviews.errors import DataError
from manyviews_medical.case import Image

LFS = b"version https://git-lfs"
SHEAR = 1e-2
"""Largest cosine between two axes of a grid that is called orthogonal: half a degree."""


@dataclass(frozen=True)
class Scan:
    """One volume."""

    path: Path
    voxels: Shaped[np.ndarray, "..."]
    """(x, y, z), as stored: the value is `slope * voxel + intercept`. Four dimensions until `one_volume` was asked."""
    affine: Float[np.ndarray, "4 4"]
    """From voxels to millimetres: right, anterior, superior."""
    slope: float = 1.0
    intercept: float = 0.0
    modality: str = ""
    patient: str = ""

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between voxels along each axis."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0).tolist()
        return x, y, z

    def with_voxels(self, voxels: Shaped[np.ndarray, "..."]) -> Scan:
        """The same place with other numbers."""
        return replace(self, voxels=voxels)


def refuse_not_there(image: Image) -> None:
    """Missing files, empty ones, and pointers that Git LFS left in their place."""
    for path in image.parts:
        if not path.exists():
            raise DataError(f"{path}: there is no such file")
        if path.is_dir():
            raise DataError(f"{path}: is a folder without DICOM files; expected an image")
        if not path.stat().st_size:
            raise DataError(f"{path}: is empty (0 bytes); copy or download it again")
        with path.open("rb") as file:
            if file.read(len(LFS)) == LFS:
                raise DataError(f"{path}: is a Git LFS pointer and not the image; fetch it with `git lfs pull`")


def refuse_bad_grid(scan: Scan) -> None:
    """An affine that is no scanner's grid."""
    matrix = scan.affine[:3, :3]
    if not np.isfinite(scan.affine).all():
        raise DataError(
            f"{scan.path}: its affine holds NaN or infinity; the voxels lie nowhere. Write it again with a valid affine"
        )
    lengths = np.linalg.norm(matrix, axis=0)
    if (lengths < 1e-6).any():
        axis = "xyz"[int(np.argmin(lengths))]
        raise DataError(
            f"{scan.path}: its affine is zero along {axis}: voxels without a size. Write it again with a valid affine"
        )
    cosines = np.abs((matrix / lengths).T @ (matrix / lengths) - np.eye(3))
    if cosines.max() > SHEAR:
        raise DataError(
            f"{scan.path}: its affine is sheared (axes {90 - np.degrees(np.arcsin(min(cosines.max(), 1))):.1f} "
            "degrees apart, not 90), "
            "as of a tilted gantry\n  resample it to an orthogonal grid first"
        )


def refuse_bad_voxels(scan: Scan) -> None:
    """Numbers that would poison or empty every crop."""
    voxels = scan.voxels
    if voxels.dtype.kind == "c":
        raise DataError(f"{scan.path}: holds complex numbers; expected real ones: write its magnitude")
    if voxels.dtype.kind == "V":
        raise DataError(
            f"{scan.path}: holds RGB colours ({voxels.dtype}); expected one number a voxel: write one channel or its grey value"
        )
    if voxels.dtype.kind == "f" and not (finite := np.isfinite(voxels)).all():
        bad = int(voxels.size - finite.sum())
        place = tuple(int(axis[0]) for axis in np.nonzero(~finite)[1:])
        raise DataError(
            f"{scan.path}: {bad} of its voxels hold NaN or infinity, the first at {place}; replace them, or leave the file out"
        )
    if voxels.min() == voxels.max():
        raise DataError(f"{scan.path}: is constant, every voxel is {voxels.flat[0]}; there is nothing to learn from")


def one_volume(scan: Scan, fourth: str, *, slices: bool = False) -> Scan:
    """The scan as (channels, x, y, z), a fourth dimension treated as `fourth` says.

    Args:
        fourth: `refuse`, `channels`, `first` or `mean`.
        slices: Single slices will do.
    """
    voxels = scan.voxels
    while voxels.ndim > 3 and voxels.shape[-1] == 1:
        voxels = voxels[..., 0]
    shape = " x ".join(map(str, scan.voxels.shape))
    if voxels.ndim == 2 and slices:
        voxels = voxels[..., None]
    if voxels.ndim < 3 or (min(voxels.shape[:3]) < 2 and not slices):
        raise DataError(
            f"{scan.path}: is 2D ({shape}); expected a volume. Slices are read with a crop of two numbers "
            "(`data.crop: [224, 224]`)"
        )
    if voxels.ndim > 4:
        raise DataError(f"{scan.path}: has {scan.voxels.ndim} dimensions ({shape}); expected 3, or 4 with `data.fourth`")
    if voxels.ndim == 3:
        return scan.with_voxels(voxels[None])
    if fourth == "refuse":
        raise DataError(
            f"{scan.path}: is 4D ({shape}); expected 3D\n"
            "  set `data.fourth` to `channels` (several contrasts of one volume), `first` or `mean` (a series in time)"
        )
    if fourth == "channels":
        return scan.with_voxels(np.moveaxis(voxels, -1, 0))
    chosen = voxels[..., 0] if fourth == "first" else voxels.mean(-1, dtype=np.float32)
    return scan.with_voxels(chosen[None])
