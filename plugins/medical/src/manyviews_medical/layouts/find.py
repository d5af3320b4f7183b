"""Which cases a path holds: a file, a folder, a manifest, or a data set in the layout of MSD, nnU-Net or BIDS."""

from __future__ import annotations

from pathlib import Path

from manyviews.errors import DataError
from manyviews_medical.case import Case
from manyviews_medical.layouts import bids, folder, manifest, msd, nnunet
from manyviews_medical.reading.dicom import is_dicom
from manyviews_medical.reading.read import SUFFIXES, suffix_of


def find_cases(path: Path, columns: manifest.Columns | None = None) -> list[Case]:
    """The cases at `path`, in the order of their names.

    Raises:
        DataError: There is nothing, or a list names what is not there.
    """
    columns = columns or manifest.Columns()
    if not path.exists():
        raise DataError(
            f"{path}: there is no such file or folder; give a folder of scans, a manifest (CSV) or a `dataset.json`"
        )
    if path.is_file():
        return _of_file(path, columns)
    found = _of_folder(path)
    if not found:
        raise DataError(f"{path}: holds no volumes; expected {', '.join(SUFFIXES)} or DICOM files, at any depth")
    return found


def _of_file(path: Path, columns: manifest.Columns) -> list[Case]:
    if path.suffix.lower() in manifest.SUFFIXES:
        return manifest.read(path, columns)
    if path.name == "dataset.json":
        return _of_folder(path.parent)
    if is_dicom(path):
        raise DataError(f"{path}: is one slice of a DICOM series; give its folder")
    if suffix_of(path):
        return folder.alone(path)
    raise DataError(f"{path}: is neither a volume ({', '.join(SUFFIXES)}) nor a manifest (CSV, TSV) nor a `dataset.json`")


def _of_folder(path: Path) -> list[Case]:
    if nnunet.claims(path):
        return nnunet.read(path)
    if msd.claims(path):
        return msd.read(path)
    return bids.read(path) if bids.claims(path) else folder.read(path)
