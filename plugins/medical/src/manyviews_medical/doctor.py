"""What is wrong with volumes, said before anything is trained on them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from manyviews.errors import DataError
from manyviews_medical.case import Case
from manyviews_medical.layouts.find import find_cases
from manyviews_medical.layouts.manifest import SUFFIXES as LISTS
from manyviews_medical.layouts.manifest import guessed
from manyviews_medical.prepare import Treatment, attempted, read_case
from manyviews_medical.reading.dicom import is_dicom
from manyviews_medical.reading.read import suffix_of
from manyviews_medical.reading.scan import Scan

AS_IT_IS = Treatment(None, None, "refuse", slices=False)
WORDS = re.compile(r"[,;\t\"]")
SATURATED = 0.05
"""Share of voxels at the largest number from which a volume is called saturated."""
THICK = 3.0
"""Ratio of the largest to the smallest spacing that is worth a word."""


def examine(path: Path) -> list[str] | None:
    """One line for each finding; an empty list where all is well; None where `path` holds no volumes."""
    if not _is_ours(path):
        return None
    try:
        cases = find_cases(path, guessed(path) if path.suffix.lower() in LISTS else None)
    except DataError as error:
        return [" ".join(str(error).split())]
    found, refused = attempted(_findings, cases, skip=True)
    return [line for lines in found for line in lines] + refused


def _is_ours(path: Path) -> bool:
    if path.is_dir():
        return any(suffix_of(file) or is_dicom(file) for file in path.rglob("*") if file.is_file())
    if path.suffix.lower() in LISTS:
        return _lists_volumes(path)
    return bool(suffix_of(path)) or is_dicom(path)


def _lists_volumes(path: Path) -> bool:
    """A CSV may be anybody's table: it is ours where its first row names a volume."""
    try:
        return any(
            suffix_of(Path(word)) for row in path.read_text(encoding="utf-8-sig").splitlines()[:2] for word in WORDS.split(row)
        )
    except (OSError, UnicodeDecodeError):
        return False


def _findings(case: Case) -> list[str]:
    """What can be read and may not be meant.

    Raises:
        DataError: It cannot be read.
    """
    scan, beside = read_case(case, AS_IT_IS)
    found = [f"{scan.path}: {finding}" for finding in _oddities(scan)]
    label = beside.get("label")
    if label is not None and not label.voxels.any():
        found.append(f"{label.path}: the label is empty: nothing is segmented")
    return found


def _oddities(scan: Scan) -> list[str]:
    top = scan.voxels.max()
    found = []
    if scan.voxels.dtype.kind in "iu" and float((scan.voxels == top).mean()) > SATURATED:
        found.append(
            f"saturated: {float((scan.voxels == top).mean()):.0%} of its voxels are {top}; its brightest parts were cut off"
        )
    spacing = np.array(scan.spacing)
    if spacing.max() > THICK * spacing.min():
        found.append(
            f"thick slices: {' x '.join(f'{side:.2g}' for side in spacing)} mm; set `data.spacing`, or cubes of "
            "voxels are slabs"
        )
    if spacing.min() < 0.05 or spacing.max() > 30:
        found.append(
            f"a spacing of {' x '.join(f'{side:.3g}' for side in spacing)} mm is no scanner's; is it in metres or micrometres?"
        )
    return found
