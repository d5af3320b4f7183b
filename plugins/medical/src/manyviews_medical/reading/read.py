"""Read a volume of any format and refuse, in words, what is no volume."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from manyviews.errors import DataError
from manyviews_medical.case import Image
from manyviews_medical.reading import dicom, nifti, nrrd
from manyviews_medical.reading.scan import Scan, one_volume, refuse_bad_grid, refuse_bad_voxels, refuse_not_there

SUFFIXES = (*nifti.SUFFIXES, *nrrd.SUFFIXES)
"""Of files that are a volume each."""
KEPT = ("uint8", "int8", "int16", "int32", "uint16", "float32")
"""Types that voxels are kept in; others become the nearest of them."""


def suffix_of(path: Path) -> str:
    """`.nii.gz` as one; "" where it is no volume's."""
    name = path.name.lower()
    return next((suffix for suffix in sorted(SUFFIXES, key=len, reverse=True) if name.endswith(suffix)), "")


def stem_of(path: Path) -> str:
    """The file's name without its suffix."""
    return path.name[: len(path.name) - len(suffix_of(path))]


def read_image(image: Image, fourth: str = "refuse", *, slices: bool = False) -> Scan:
    """Voxels as (channels, x, y, z) in a native little type, finite and not constant, on an orthogonal grid.

    Raises:
        DataError: With the file, the reason and the fix.
    """
    scan = one_volume(_read(image), fourth, slices=slices)
    refuse_bad_grid(scan)
    refuse_bad_voxels(scan)
    return scan.with_voxels(_native(scan.voxels))


def read_label(image: Image, like: Scan) -> Scan:
    """A segmentation on the grid of `like`: whole numbers, (1, x, y, z).

    Raises:
        DataError: Another shape or grid, or numbers that are no classes.
    """
    scan = one_volume(_read(image), "refuse", slices=like.voxels.shape[-1] == 1)
    values = scan.voxels
    if values.dtype.kind == "V":
        refuse_bad_voxels(scan)
    if values.shape[1:] != like.voxels.shape[1:]:
        given, wanted = (" x ".join(map(str, shape)) for shape in (values.shape[1:], like.voxels.shape[1:]))
        raise DataError(
            f"{image.path}: the label is {given}, its image {like.path.name} {wanted}; resample it to the image's grid"
        )
    if not np.allclose(scan.affine, like.affine, atol=0.1):
        raise DataError(
            f"{image.path}: the label lies elsewhere than its image {like.path.name} (their affines differ); "
            "resample it to the image's grid"
        )
    values = values * scan.slope + scan.intercept if (scan.slope, scan.intercept) != (1.0, 0.0) else values
    whole = np.rint(values)
    if not np.isfinite(whole).all() or np.abs(whole - values).max() > 1e-3 or whole.min() < 0:
        raise DataError(
            f"{image.path}: a label holds whole numbers from 0 upwards, and this one others; was an image given as a label?"
        )
    return scan.with_voxels(whole.astype(np.uint8 if whole.max() < 256 else np.int32))


def _read(image: Image) -> Scan:
    refuse_not_there(image)
    if image.files:
        return dicom.read_series(image)
    suffix = suffix_of(image.path)
    if suffix in nrrd.SUFFIXES:
        return nrrd.read_nrrd(image.path)
    if suffix in nifti.SUFFIXES:
        return nifti.read_nifti(image.path)
    raise DataError(f"{image.path}: is no format that is read here; expected {', '.join(SUFFIXES)} or a DICOM series")


def _native(voxels: np.ndarray) -> np.ndarray:
    dtype = voxels.dtype.newbyteorder("=")
    if dtype.name not in KEPT:
        small = dtype.kind in "iub" and int(voxels.max()) < 2**31 and int(voxels.min()) >= -(2**31)
        dtype = np.dtype("int32" if small else "float32")
    return np.ascontiguousarray(voxels, dtype=dtype)
