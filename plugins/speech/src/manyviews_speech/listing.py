"""Which sounds there are: a file, a folder, a pattern, a manifest (CSV, TSV, JSONL) or Kaldi's wav.scp with its neighbours."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from manyviews.errors import DataError
from manyviews.plugins.suggest import did_you_mean
from manyviews_speech.recording import SUFFIXES, Recording

KALDI = {"utt2spk": "speaker", "text": "text", "utt2label": "label"}
"""Files beside a wav.scp and the column that each becomes."""


@dataclass(frozen=True)
class Item:
    """A sound, or a part of one."""

    path: Path
    where: str
    """How messages call it: a file, or a manifest's row."""
    start: float | None = None
    """Seconds; None: from the beginning."""
    end: float | None = None
    frames: int | None = None
    """As the manifest says; None: the file's header is asked."""
    rate: int | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    """All that the manifest says of it, as text."""

    name: str | None = None
    """What its list calls it (Kaldi's utterance); None: nothing but its path."""

    def told(self, error: DataError) -> str:
        """An error of its sound, with the manifest's row."""
        text = str(error)
        return text if text.startswith(self.where) else f"{self.where}: {text}"


def listing(path: str | Path, path_column: str = "path") -> list[Item]:
    """The sounds at `path`.

    Raises:
        DataError: nothing there, an empty or broken manifest, a row without a path or with half of (frames, rate).
    """
    place = Path(path).expanduser()
    if place.is_dir():
        return _folder(place)
    if not place.exists():
        return _pattern(place)
    match place.suffix.lower():
        case ".csv" | ".tsv" | ".jsonl":
            return _manifest(place, path_column)
        case ".scp":
            return _kaldi(place)
        case suffix if suffix in SUFFIXES:
            return [Item(place, str(place), columns={"folder": place.parent.name})]
    raise DataError(
        f"{place}: neither sound ({', '.join(sorted(SUFFIXES))}) nor a list of it (.csv, .tsv, .jsonl, wav.scp)\n"
        "give a file's ending what it holds, or list it in a manifest with a column `path`"
    )


def _sounds(paths: Sequence[Path]) -> list[Item]:
    return [Item(path, str(path), columns={"folder": path.parent.name}) for path in paths]


def _folder(folder: Path) -> list[Item]:
    if (folder / "wav.scp").is_file():
        return _kaldi(folder / "wav.scp")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise DataError(f"{folder}: no sound in this folder or below it (looked for {', '.join(sorted(SUFFIXES))})")
    return _sounds(found)


def _pattern(pattern: Path) -> list[Item]:
    found = sorted(Path(name) for name in glob.glob(str(pattern), recursive=True))
    if not found:
        raise DataError(f"data.path: there is no {pattern}")
    return _sounds(found)


def _manifest(path: Path, column: str) -> list[Item]:
    read = table(path)
    if column not in read.columns:
        hint = did_you_mean(column, list(read.columns))
        raise DataError(
            f"{path}: there is no column {column!r} (it has: {', '.join(read.columns)}){hint}\n"
            "name the column of paths by data.path_column"
        )
    if read.empty:
        raise DataError(f"{path}: the manifest has no rows")
    rows = read.to_dict("records")
    return [_row(path, number, {str(key): str(value) for key, value in row.items()}, column) for number, row in enumerate(rows)]


def table(path: Path) -> pd.DataFrame:
    """Every cell as text, empty where there is nothing: types are for those who read a column."""
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the manifest is empty (0 bytes)")
    try:
        if path.suffix.lower() == ".jsonl":
            return pd.read_json(path, lines=True, dtype=False).astype(object).fillna("").astype(str)
        separator = "\t" if path.suffix.lower() == ".tsv" else ","
        return pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False)
    except (ValueError, pd.errors.ParserError) as error:
        raise DataError(f"{path}: cannot be read as a manifest: {str(error).splitlines()[0]}") from error


def _row(manifest: Path, number: int, row: Mapping[str, str], column: str) -> Item:
    where = f"{manifest}, row {number + 1}"
    if not row[column]:
        raise DataError(f"{where}: no path in column {column!r}")
    path = Path(row[column])
    frames, rate = (number_of(row, name, where) for name in ("frames", "rate"))
    for name in ("frames", "rate"):
        if name in row and not row[name]:
            raise DataError(f"{where} ({path}): no {name}; fill it in, or leave the column out and file headers are asked")
    start, end = (number_of(row, name, where) for name in ("start", "end"))
    if start is not None and end is not None and end <= start:
        raise DataError(f"{where} ({path}): end {end:g} s is not after start {start:g} s")
    return Item(
        path if path.is_absolute() else manifest.parent / path,
        where,
        start,
        end,
        None if frames is None or rate is None else int(frames),
        None if frames is None or rate is None else int(rate),
        {key: value for key, value in row.items() if key != column},
    )


def part_of(item: Item, recording: Recording) -> tuple[int, int]:
    """First sample of the item's part of its recording, and the first behind it.

    Raises:
        DataError: the part is not within the recording.
    """
    start = round((item.start or 0.0) * recording.rate)
    stop = recording.frames if item.end is None else round(item.end * recording.rate)
    if stop > recording.frames or start >= stop:
        raise DataError(
            f"{item.where}: asks for {start / recording.rate:g} to {stop / recording.rate:g} s of {recording.path}, "
            f"which is {recording.frames / recording.rate:g} s long"
        )
    return start, stop


def number_of(row: Mapping[str, str], name: str, where: str) -> float | None:
    text = row.get(name, "")
    try:
        number = float(text) if text else None
    except ValueError as error:
        raise DataError(f"{where}: {name} is {text!r}, expected a number") from error
    if number is not None and not 0 <= number < float("inf"):
        raise DataError(f"{where}: {name} is {text}, expected a number that is not negative")
    return number


def _kaldi(path: Path) -> list[Item]:
    """`wav.scp`, with `utt2spk`, `text`, `utt2label` and `segments` where they stand beside it."""
    files = _pairs(path)
    for utterance, name in files.items():
        if name.endswith("|"):
            raise DataError(f"{path}, {utterance}: commands are not run ({name!r}); decode to files first")
    described = {column: _pairs(path.with_name(name)) for name, column in KALDI.items() if path.with_name(name).is_file()}
    whole = {key: (key, None, None) for key in files}
    parts = _segments(path.with_name("segments"), files) if path.with_name("segments").is_file() else whole
    items = []
    for key, (recording, start, end) in parts.items():
        sound = Path(files[recording])
        columns = {column: values[key] for column, values in described.items() if key in values}
        items.append(
            Item(
                sound if sound.is_absolute() else path.parent / sound,
                f"{path}, {key}",
                start,
                end,
                columns={"utterance": key} | columns,
                name=key,
            )
        )
    return items


def _pairs(path: Path) -> dict[str, str]:
    pairs = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        words = line.split(maxsplit=1)  # blanks or tabs, as Kaldi reads them
        if len(words) == 1:
            raise DataError(f"{path}, line {number}: {words[0]!r} has nothing behind it; expected `key value`")
        if words:
            pairs[words[0]] = words[1].strip()
    if not pairs:
        raise DataError(f"{path}: the list is empty")
    return pairs


def _segments(path: Path, files: Mapping[str, str]) -> dict[str, tuple[str, float | None, float | None]]:
    parts: dict[str, tuple[str, float | None, float | None]] = {}
    for key, text in _pairs(path).items():
        recording, *times = text.split()
        try:
            start, end = (float(time) for time in times)
        except ValueError as error:
            raise DataError(f"{path}, {key}: expected `recording start end` in seconds, got {text!r}") from error
        if recording not in files:
            raise DataError(f"{path}, {key}: there is no recording {recording!r} in wav.scp")
        parts[key] = (recording, start, end)
    return parts
