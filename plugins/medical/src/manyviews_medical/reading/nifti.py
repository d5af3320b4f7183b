"""NIfTI and Analyze files, by nibabel."""

from __future__ import annotations

import gzip
import logging
import zlib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError, SpatialImage

from manyviews.errors import DataError
from manyviews_medical.reading.scan import Scan

SUFFIXES = (".nii", ".nii.gz", ".mgz", ".mgh", ".img", ".hdr")
GZIP = b"\x1f\x8b"


def read_nifti(path: Path) -> Scan:
    """Raw voxels with slope and intercept: nothing is turned into floating point that is not so in the file."""
    if path.suffix == ".gz":
        with path.open("rb") as file:
            if file.read(2) != GZIP:
                raise DataError(f"{path}: is named .gz and is no gzip file; rename it to .nii, or copy it again")
    logging.getLogger("nibabel.global").setLevel(logging.ERROR)
    try:
        image = nibabel.load(path)
        assert isinstance(image, SpatialImage)
        proxy: Any = image.dataobj
        voxels = np.asarray(proxy.get_unscaled()) if nibabel.is_proxy(proxy) else np.asarray(proxy)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}: is truncated or damaged ({error}); copy or download it again") from error
    except (ImageFileError, HeaderDataError) as error:
        raise DataError(f"{path}: cannot be read as NIfTI: {_first(error)}") from error
    except (OSError, ValueError) as error:
        if "Expected" in str(error) or "bytes" in str(error) or "mmap" in str(error):
            raise DataError(
                f"{path}: is truncated: its header claims more voxels than the file holds; copy it again"
            ) from error
        raise DataError(f"{path}: cannot be read as NIfTI: {_first(error)}") from error
    slope, intercept = float(getattr(proxy, "slope", 1.0)), float(getattr(proxy, "inter", 0.0))
    affine = np.zeros((4, 4)) if image.affine is None else np.asarray(image.affine, dtype=np.float64)
    return Scan(path, voxels, affine, slope, intercept)


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
