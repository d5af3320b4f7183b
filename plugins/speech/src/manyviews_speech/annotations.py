"""What happens when in recordings: lists of events as DCASE has them, a row an event.

Times are seconds from a recording's beginning, also where it is cut into pieces or a manifest names parts of it. A
recording that the list names was listened to as a whole; one that it does not name was not, and nothing is known of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from manyviews.errors import DataError
from manyviews.events import Events, Stretches
from manyviews_speech.clips import Clip
from manyviews_speech.listing import number_of, table

NAMES: Mapping[str, tuple[str, ...]] = {
    "filename": ("filename", "path", "file"),
    "onset": ("onset", "start"),
    "offset": ("offset", "end"),
    "event_label": ("event_label", "label", "event"),
}
"""Columns, and what else they are called."""
SLACK = 0.1
"""Seconds by which an annotation may end behind its recording's end, where it is cut."""
LISTS = (".tsv", ".csv", ".jsonl")


@dataclass(frozen=True)
class Annotation:
    """A row of the list; without times: nothing happens in the recording."""

    name: str
    onset: float
    offset: float
    label: str


def read_events(path: Path, clips: Sequence[Clip], folder: Path) -> Events:
    """The events of clips.

    Args:
        path: A TSV, CSV or JSONL list with columns `filename`, `onset`, `offset` and `event_label`.
        clips: Pieces of recordings. A list calls a recording by its path, relative to the list or to `folder`, or by its
            file's name where only one is called so.
        folder: That of the data.

    Raises:
        DataError: No such list, a column lacks, a row that is no event or of no recording that there is.
    """
    rows = _rows(path)
    known = _by_name(clips)
    classes = tuple(sorted({annotation.label for _, annotation in rows if annotation.label}))
    if not classes:
        raise DataError(f"{path}: no row of the list names an event")
    number = {label: place for place, label in enumerate(classes)}
    heard, found = np.zeros(len(clips), dtype=bool), list[tuple[int, float, float, int]]()
    for where, row in rows:
        own = _clips_of(row.name, known, (path.parent, folder), where)
        heard[own] = True
        if row.label:
            _check_end(row, clips[own[0]], where)
            found += [(*part, number[row.label]) for place in own if (part := _within(row, place, clips[place]))]
    samples, onsets, offsets, values = (
        (np.array(column) for column in zip(*found, strict=True)) if found else (np.empty(0),) * 4
    )
    stretches = Stretches(samples.astype(np.int64), onsets.astype(float), offsets.astype(float), values.astype(np.int64))
    seconds = np.array([(clip.stop - clip.start) / clip.recording.rate for clip in clips])
    return Events(path.stem, classes, stretches, seconds, heard)


def _rows(path: Path) -> list[tuple[str, Annotation]]:
    if not path.is_file():
        raise DataError(f"data.events: there is no file {path}")
    if path.suffix.lower() not in LISTS:
        raise DataError(f"data.events: {path} is no list of events; name a {', '.join(LISTS)} file")
    read = table(path)
    columns = {}
    for name, others in NAMES.items():
        column = next((other for other in others if other in read.columns), None)
        if column is None:
            raise DataError(f"{path}: there is no column {name!r} (it has: {', '.join(map(str, read.columns))})")
        columns[name] = column
    if read.empty:
        raise DataError(f"{path}: the list of events has no rows")
    records = read.to_dict("records")
    return [
        (f"{path}, row {place}", _row({name: str(record[column]) for name, column in columns.items()}, f"{path}, row {place}"))
        for place, record in enumerate(records, 1)
    ]


def _row(cells: Mapping[str, str], where: str) -> Annotation:
    if not cells["filename"]:
        raise DataError(f"{where}: no filename")
    given = [name for name in ("onset", "offset", "event_label") if cells[name]]
    if not given:
        return Annotation(cells["filename"], 0.0, 0.0, "")
    lacking = [name for name in ("onset", "offset", "event_label") if not cells[name]]
    if lacking:
        raise DataError(
            f"{where} ({cells['filename']}): {' and '.join(given)} without {' and '.join(lacking)}; "
            "leave all three empty where nothing happens"
        )
    onset, offset = (number_of(cells, name, where) for name in ("onset", "offset"))
    assert onset is not None
    assert offset is not None
    if offset <= onset:
        raise DataError(f"{where} ({cells['filename']}): offset {offset:g} s is not after onset {onset:g} s")
    return Annotation(cells["filename"], onset, offset, cells["event_label"])


def _by_name(clips: Sequence[Clip]) -> Mapping[str, list[int]]:
    """Clips by their recording's path, and by its file's name where only one is called so."""
    paths: dict[str, list[int]] = defaultdict(list)
    for number, clip in enumerate(clips):
        paths[str(clip.recording.path.resolve())].append(number)
    called: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        called[Path(path).name].append(path)
    return {**{name: paths[own[0]] for name, own in called.items() if len(own) == 1}, **paths}


def _clips_of(name: str, known: Mapping[str, list[int]], folders: tuple[Path, Path], where: str) -> list[int]:
    candidates = [*(str((folder / name).resolve()) for folder in folders), name]
    found = next((known[candidate] for candidate in candidates if candidate in known), None)
    if found is None:
        raise DataError(f"{where}: there is no sound {name!r} in the data, or several are called so")
    return found


def _check_end(row: Annotation, clip: Clip, where: str) -> None:
    seconds = clip.recording.frames / clip.recording.rate
    if row.offset > seconds + SLACK or row.onset >= seconds:
        raise DataError(
            f"{where}: {row.label!r} from {row.onset:g} to {row.offset:g} s is beyond the end of {clip.recording.path} "
            f"({seconds:g} s)"
        )


def _within(row: Annotation, number: int, clip: Clip) -> tuple[int, float, float] | None:
    """The part of an event that lies in a clip, in seconds of the clip; None where none does."""
    rate = clip.recording.rate
    onset, offset = max(row.onset, clip.start / rate), min(row.offset, clip.stop / rate)
    return (number, onset - clip.start / rate, offset - clip.start / rate) if offset > onset else None
