"""From a path to rasters: a file, a folder, a pattern, a STAC item collection."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from manyviews.errors import DataError
from manyviews_satellite.reading.arrays import read_stack
from manyviews_satellite.reading.header import Header, read_header
from manyviews_satellite.reading.options import Options
from manyviews_satellite.reading.stac import is_stac, stac_files

SUFFIXES = frozenset({".tif", ".tiff", ".jp2", ".vrt", ".img", ".npy"})
SCANNERS = 4
"""Threads that read headers: the wait is the disk's."""


@dataclass(frozen=True)
class File:
    """A raster, and what is known of it from where it was found."""

    path: str
    scene: str | None = None
    """Which scene it belongs to; None: its name tells."""
    band: str | None = None
    """Its band, where a catalogue says so."""
    time: str | None = None
    scale: float | None = None
    offset: float | None = None
    nodata: float | None = None
    sensor: str | None = None


def find_files(path: str | Path) -> list[File]:
    """The rasters at a path.

    Raises:
        DataError: Nothing there, or nothing that is an image.
    """
    place = Path(path).expanduser()
    if place.is_dir():
        found = sorted(each for each in place.rglob("*") if each.suffix.lower() in SUFFIXES and each.is_file())
        if not found:
            raise DataError(f"{place}: no image in this folder or below it (looked for {', '.join(sorted(SUFFIXES))})")
        return [File(str(each)) for each in found]
    if place.is_file():
        if is_stac(place):
            return [File(**told) for told in stac_files(place)]
        if place.suffix.lower() not in SUFFIXES:
            raise DataError(
                f"{place}: neither an image ({', '.join(sorted(SUFFIXES))}) nor a STAC item collection (.json)\n"
                "give a file's ending what it holds"
            )
        return [File(str(place))]
    if "://" in str(path) or str(path).startswith("/vsi"):
        return [File(str(path))]
    matches = sorted(name for name in glob.glob(str(place), recursive=True) if Path(name).is_file())
    if not matches:
        raise DataError(f"data.path: there is no {place}")
    return [File(name) for name in matches]


def scan(files: Sequence[File], options: Options) -> Iterator[tuple[File, list[Header] | DataError]]:
    """Each file's headers (of a stack of dates, one a date), or why it cannot be used."""
    with ThreadPoolExecutor(SCANNERS) as threads:
        yield from zip(files, threads.map(lambda file: _headers(file, options), files), strict=True)


def _headers(file: File, options: Options) -> list[Header] | DataError:
    try:
        if file.path.lower().endswith(".npy"):
            return read_stack(file.path, options.axes, None if options.bands is None else len(options.bands))
        return [read_header(file.path)]
    except DataError as error:
        return error
