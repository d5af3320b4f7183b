"""DICOM series, by pydicom: which files make one volume, in which order, and whether slices are missing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from jaxtyping import Float
from pydicom.errors import InvalidDicomError

from manyviews.errors import DataError
from manyviews_medical.case import Image
from manyviews_medical.reading.scan import Scan

SUFFIXES = (".dcm", ".ima")
UNEVEN = 0.02
"""Largest deviation of a slice distance, as a share of the median, that is called even."""


def is_dicom(path: Path) -> bool:
    """By its suffix or its preamble; files of DICOM discs have no suffix."""
    if path.suffix.lower() in SUFFIXES:
        return True
    if path.suffix or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def find_series(folder: Path, files: Sequence[Path]) -> list[Image]:
    """The series in a folder's files, each as one image; single files that are not read are refused when the series is."""
    series: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID"])
            series[str(header.get("SeriesInstanceUID", ""))].append(path)
        except (InvalidDicomError, OSError, EOFError):
            series[""].append(path)
    if len(series) > 1 and "" in series:  # a damaged file belongs to the series beside it, and is named when that is read
        damaged = series.pop("")
        next(iter(series.values())).extend(damaged)
    return [Image(folder, tuple(sorted(paths))) for paths in series.values()]


def read_series(image: Image) -> Scan:
    """One volume: slices by their position along the normal, Hounsfield units by slope and intercept."""
    slices = [_read(path) for path in image.files]
    _refuse_unlike(image, slices)
    normal = _normal(slices[0])
    slices.sort(key=lambda one: float(np.dot(normal, _vector(one.ImagePositionPatient))))
    step = _step(image, slices, normal)
    scales = {(float(one.get("RescaleSlope", 1)), float(one.get("RescaleIntercept", 0))) for one in slices}
    if len(scales) == 1:
        voxels, (slope, intercept) = np.stack([_pixels(one).T for one in slices], axis=-1), next(iter(scales))
    else:  # PET: every slice is scaled on its own
        own = [
            _pixels(one).T * np.float32(one.get("RescaleSlope", 1)) + np.float32(one.get("RescaleIntercept", 0))
            for one in slices
        ]
        voxels, slope, intercept = np.stack(own, axis=-1), 1.0, 0.0
    first = slices[0]
    return Scan(
        image.path,
        voxels,
        _affine(first, step),
        slope,
        intercept,
        str(first.get("Modality", "")),
        str(first.get("PatientID", "")),
    )


def _read(path: Path) -> Any:
    try:
        header = pydicom.dcmread(path)
    except (InvalidDicomError, OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read as DICOM: {error}") from error
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns"):
        if name not in header:
            raise DataError(f"{path}: has no {name}: it is no slice of a volume; leave it out of the folder")
    if int(header.get("SamplesPerPixel", 1)) != 1:
        raise DataError(f"{path}: holds RGB colours; expected one number a voxel")
    return header


def _pixels(header: Any) -> np.ndarray:
    try:
        pixels: np.ndarray = header.pixel_array
    except Exception as error:  # each of pydicom's many decoders raises its own
        syntax = header.file_meta.TransferSyntaxUID.name
        raise DataError(
            f"{header.filename}: its pixels ({syntax}) cannot be decoded or are truncated: "
            f"{(str(error).splitlines() or [''])[0]}\n"
            "  copy it again, or install `pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg` for compressed files"
        ) from error
    return pixels


def _refuse_unlike(image: Image, slices: Sequence[Any]) -> None:
    """Slices that cannot be of one grid."""
    for name in ("Rows", "Columns", "PixelSpacing", "ImageOrientationPatient"):
        values = [np.round(np.atleast_1d(np.asarray(one[name].value, dtype=np.float64)), 4).tolist() for one in slices]
        if len({tuple(value) for value in values}) > 1:
            other = next(place for place, value in enumerate(values) if value != values[0])
            raise DataError(
                f"{image.path}: the slices of the series differ in {name}: {image.files[other].name} has {values[other]}, "
                f"{image.files[0].name} {values[0]}\n  put each volume into a folder of its own"
            )


def _step(image: Image, slices: Sequence[Any], normal: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """From one slice to the next, in millimetres; the distances must be even."""
    if len(slices) < 2:
        raise DataError(f"{image.path}: the series has a single slice; expected a volume")
    places = np.array([_vector(one.ImagePositionPatient) for one in slices])
    distances = np.diff(places @ normal)
    median = float(np.median(distances))
    if (distances < 1e-3).any():
        twice = int(np.argmin(distances))
        raise DataError(
            f"{image.path}: two slices lie at one place, {places[twice].round(2).tolist()}; the folder holds "
            "several volumes or copies"
        )
    uneven = np.abs(distances - median) > UNEVEN * median
    if uneven.any():
        where = int(np.argmax(uneven))
        raise DataError(
            f"{image.path}: the distance between slices varies from {distances.min():.2f} to "
            f"{distances.max():.2f} mm, first behind "
            f"{Path(slices[where].filename).name}: slices are missing\n  find them, or resample the series to even slices first"
        )
    step: np.ndarray = (places[-1] - places[0]) / (len(slices) - 1)
    return step


def _affine(first: Any, step: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4 4"]:
    """DICOM's axes are left, posterior, superior; ours right, anterior, superior."""
    rows, columns = (float(value) for value in first.PixelSpacing)
    orientation = _vector(first.ImageOrientationPatient)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = orientation[:3] * columns, orientation[3:] * rows, step
    affine[:3, 3] = _vector(first.ImagePositionPatient)
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _normal(header: Any) -> Float[np.ndarray, "3"]:
    orientation = _vector(header.ImageOrientationPatient)
    return np.cross(orientation[:3], orientation[3:])


def _vector(values: Any) -> Float[np.ndarray, "axes"]:
    return np.asarray([float(value) for value in values])
