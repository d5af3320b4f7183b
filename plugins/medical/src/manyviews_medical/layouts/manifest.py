"""A manifest: CSV or TSV with a column of images, and what else is known of each."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from manyviews.errors import DataError
from manyviews.plugins.suggest import did_you_mean
from manyviews_medical.case import Case, Image
from manyviews_medical.reading.dicom import find_series, is_dicom
from manyviews_medical.reading.read import stem_of, suffix_of

SUFFIXES = (".csv", ".tsv")


@dataclass(frozen=True)
class Columns:
    """What a manifest's columns are called."""

    image: tuple[str, ...] = ("path",)
    """Paths, relative to the manifest; several are channels."""
    label: str = "label"
    mask: str = "mask"
    patient: str = "patient"


def guessed(path: Path) -> Columns:
    """The columns whose first row names volumes are channels, where none is called `path`."""
    rows, names = _rows(path)
    usual = Columns()
    if "path" in names or not rows:
        return usual
    found = [name for name in names if suffix_of(Path(rows[0][name] or "")) and name not in (usual.label, usual.mask)]
    return Columns(tuple(found)) if found else usual


def read(path: Path, columns: Columns) -> list[Case]:
    """A case for each row."""
    rows, names = _rows(path)
    for name in columns.image:
        if name not in names:
            raise DataError(
                f"{path}: has no column {name!r} (columns: {', '.join(names)}){did_you_mean(name, names)}; set "
                "`data.path_column`"
            )
    if not rows:
        raise DataError(f"{path}: lists no volumes")
    return [_case(path, place + 2, row, columns) for place, row in enumerate(rows)]


def _rows(path: Path) -> tuple[list[dict[str, str | None]], list[str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        return list(reader), list(reader.fieldnames or [])


def _case(path: Path, line: int, row: dict[str, str | None], columns: Columns) -> Case:
    where = f"{path}:{line}"
    known = {key: value or "" for key, value in row.items() if key is not None}
    images = tuple(_image(path.parent, known[name], where) for name in columns.image)
    label, mask = (known.get(name, "") for name in (columns.label, columns.mask))
    # a column `label` may as well hold a class; a segmentation is a file
    segmented = bool(label) and bool(suffix_of(Path(label)) or (path.parent / label).is_dir())
    return Case(
        stem_of(images[0].path) if not images[0].files else images[0].path.name,
        images,
        _image(path.parent, label, where) if segmented else None,
        _image(path.parent, mask, where) if mask else None,
        known.get(columns.patient, ""),
        known.get("modality", ""),
        known,
        where,
    )


def _image(folder: Path, name: str, where: str) -> Image:
    path = folder / name
    if not name or not path.exists():
        raise DataError(f"{where}: {name!r} is not there; paths are relative to the manifest's folder")
    if not path.is_dir():
        return Image(path)
    series = find_series(path, sorted(file for file in path.iterdir() if is_dicom(file)))
    if len(series) != 1:
        raise DataError(f"{where}: {name!r} is a folder with {len(series)} DICOM series; expected one")
    return series[0]
