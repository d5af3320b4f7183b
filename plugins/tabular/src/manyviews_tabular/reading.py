"""Tables as they are stored: in memory, or in row groups on disk of which one at a time is read.

Parquet row groups and Arrow record batches are read on demand, so that a table larger than memory works. CSV has no
such parts: it is read whole, as text, and judged by `infer`; files beyond some gigabytes belong into Parquet.
"""

from __future__ import annotations

import csv
import glob
import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from pydantic import GetPydanticSchema
from pydantic_core import core_schema

from manyviews.errors import DataError

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet", ".pq", ".feather", ".arrow")
CSV_SUFFIXES = (".csv", ".tsv", ".txt")


TablePath = Annotated[str | Path | pd.DataFrame | pa.Table, GetPydanticSchema(lambda _type, _handler: core_schema.str_schema())]
"""What a table can be given as. In a recipe it is text; from Python a DataFrame or an Arrow table will do too."""


class Rows(ABC):
    """The rows of a table in groups, each readable by itself."""

    where: str
    """What messages call it: a file name, `DataFrame`."""
    names: tuple[str, ...]
    groups: tuple[int, ...]
    """Rows of each group."""

    @abstractmethod
    def read(self, group: int, columns: Sequence[str]) -> pa.Table:
        """These columns of one group."""

    @abstractmethod
    def fingerprint(self) -> Mapping[str, Any]:
        """Files with sizes and times, or a hash of the values."""

    def place(self, group: int) -> tuple[str, int]:
        """What messages call a group, and the number there of its first row."""
        return self.where, sum(self.groups[:group])

    @property
    def on_disk(self) -> bool:
        """Whether the groups stay on disk until they are read."""
        return True


class MemoryRows(Rows):
    """A table that is in memory already."""

    def __init__(self, table: pa.Table, where: str, path: Path | None = None) -> None:
        _check_names(table.column_names, where)
        self.table, self.where, self.path = table, where, path
        self.names, self.groups = tuple(table.column_names), (table.num_rows,)

    @property
    def on_disk(self) -> bool:
        return False

    def read(self, group: int, columns: Sequence[str]) -> pa.Table:
        return self.table.select(list(columns))

    def fingerprint(self) -> Mapping[str, Any]:
        if self.path is not None:
            return _stat(self.path)
        stream = pa.BufferOutputStream()
        with pa.ipc.new_stream(stream, self.table.schema) as writer:
            writer.write_table(self.table.combine_chunks())
        return {"blake2b": hashlib.blake2b(stream.getvalue(), digest_size=16).hexdigest()}


class ParquetRows(Rows):
    """A Parquet file, by row group."""

    def __init__(self, path: Path) -> None:
        self.path, self.where = path, path.name
        metadata = self._file.metadata
        self.names = tuple(self._file.schema_arrow.names)
        _check_names(self.names, self.where)
        self.groups = tuple(metadata.row_group(i).num_rows for i in range(metadata.num_row_groups))

    @cached_property
    def _file(self) -> pyarrow.parquet.ParquetFile:
        try:
            return pyarrow.parquet.ParquetFile(self.path, memory_map=True)
        except pa.ArrowInvalid as error:
            raise DataError(f"{self.path}: no readable Parquet file ({_first_line(error)})") from error

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_file"}  # a worker opens its own

    def read(self, group: int, columns: Sequence[str]) -> pa.Table:
        with _readable(self.path, f"row group {group}"):
            return self._file.read_row_group(group, columns=list(columns), use_threads=False)

    def place(self, group: int) -> tuple[str, int]:
        return f"{self.where}, row group {group}", super().place(group)[1]

    def fingerprint(self) -> Mapping[str, Any]:
        return _stat(self.path)


class ArrowRows(Rows):
    """An Arrow IPC or Feather file, memory-mapped, by record batch."""

    def __init__(self, path: Path) -> None:
        self.path, self.where = path, path.name
        self.names = tuple(self._file.schema.names)
        _check_names(self.names, self.where)
        self.groups = tuple(self._file.get_batch(i).num_rows for i in range(self._file.num_record_batches))

    @cached_property
    def _file(self) -> pa.ipc.RecordBatchFileReader:
        try:
            return pa.ipc.open_file(pa.memory_map(str(self.path)))
        except pa.ArrowInvalid as error:
            raise DataError(f"{self.path}: no readable Arrow or Feather file ({_first_line(error)})") from error

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_file"}

    def read(self, group: int, columns: Sequence[str]) -> pa.Table:
        with _readable(self.path, f"record batch {group}"):
            return pa.Table.from_batches([self._file.get_batch(group)]).select(list(columns))

    def place(self, group: int) -> tuple[str, int]:
        return f"{self.where}, record batch {group}", super().place(group)[1]

    def fingerprint(self) -> Mapping[str, Any]:
        return _stat(self.path)


class ManyRows(Rows):
    """Several files of the same columns, one behind the other."""

    def __init__(self, parts: Sequence[Rows], where: str) -> None:
        self.parts, self.where, self.names = parts, where, parts[0].names
        self._of = [(part, group) for part in parts for group in range(len(part.groups))]
        self.groups = tuple(part.groups[group] for part, group in self._of)

    @property
    def on_disk(self) -> bool:
        return all(part.on_disk for part in self.parts)

    def read(self, group: int, columns: Sequence[str]) -> pa.Table:
        part, own = self._of[group]
        return part.read(own, columns)

    def place(self, group: int) -> tuple[str, int]:
        part, own = self._of[group]
        return part.place(own)

    def fingerprint(self) -> Mapping[str, Any]:
        return {part.where: dict(part.fingerprint()) for part in self.parts}


def open_rows(path: TablePath, skipped: list[str] | None = None) -> Rows:
    """The rows of a file, a folder, a pattern with `*`, a DataFrame or an Arrow table.

    Args:
        path: What to open.
        skipped: Where to note files of several that cannot be used; None: the first of them is an error.
    """
    if isinstance(path, pd.DataFrame):
        return MemoryRows(from_pandas(path), "DataFrame")
    if isinstance(path, pa.Table):
        return MemoryRows(path, "Table")
    files = _files(str(path))
    parts: list[Rows] = []
    for file in files:
        try:
            part = _open(file)
            if parts:
                _check_same_columns(part, parts[0], str(path))
            parts.append(part)
        except DataError as error:
            if skipped is None or len(files) == 1:
                raise
            skipped.append(" ".join(str(error).split()))
    if skipped and not parts:
        raise DataError(f"{path}: no file can be used, all {len(files)} were left out; the first: {skipped[0]}")
    return parts[0] if len(parts) == 1 else ManyRows(parts, str(path))


def _check_same_columns(part: Rows, first: Rows, where: str) -> None:
    if missing := [name for name in first.names if name not in part.names]:
        raise DataError(
            f"{where}: {part.where} lacks column {missing[0]!r}, which {first.where} has.\n"
            "Give files of one table, or a narrower pattern such as 'part-*.parquet'."
        )


def from_pandas(frame: pd.DataFrame) -> pa.Table:
    """An Arrow table of a DataFrame without its index. Columns of mixed Python objects become text for `infer` to judge."""
    names = [str(name) for name in frame.columns]
    _check_names(names, "DataFrame")
    return pa.table({name: _series(frame.iloc[:, i]) for i, name in enumerate(names)})


def _series(series: pd.Series) -> pa.Array:
    if isinstance(series.dtype, pd.DatetimeTZDtype):
        series = series.dt.tz_convert(None)  # UTC, as everywhere here
    try:
        return pa.array(series, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array(
            [None if value is None or value is pd.NA or value != value else str(value) for value in series], pa.large_string()
        )


def _files(pattern: str) -> list[Path]:
    path = Path(pattern).expanduser()
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
        if not files:
            raise DataError(f"{pattern}: the folder holds no table ({', '.join(SUFFIXES)})")
        return files
    files = sorted(Path(file) for file in glob.glob(str(path))) if any(sign in pattern for sign in "*?[") else [path]
    if not files or not files[0].is_file():
        raise DataError(
            f"{pattern}: there is no such file.\nGive data.path a CSV, Parquet, Feather or Arrow file, a folder or a pattern."
        )
    return files


def _open(path: Path) -> Rows:
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty (0 bytes)")
    suffix = path.suffix.lower()
    if suffix in CSV_SUFFIXES:
        return MemoryRows(read_csv(path), path.name, path)
    if suffix in (".parquet", ".pq"):
        return ParquetRows(path)
    if suffix in (".feather", ".arrow"):
        return ArrowRows(path)
    raise DataError(
        f"{path}: files of type {suffix or 'without a suffix'!r} are no tables; expected one of {', '.join(SUFFIXES)}"
    )


def read_csv(path: Path) -> pa.Table:
    """A CSV file with every cell as text, so that nothing is guessed here. Delimiter: the header's `,`, `;`, tab or `|`."""
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        header = file.readline()
    delimiter = max(",;\t|", key=header.count)
    names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
    _check_names(names, path.name)
    try:
        return pyarrow.csv.read_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(column_names=names, skip_rows=1),
            parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.large_string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return pa.table({name: pa.array([], pa.large_string()) for name in names})
        raise DataError(f"{path}: no readable CSV file: {_first_line(error)}") from error


def _check_names(names: Sequence[str], where: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{where}: column {twice[0]!r} is there {Counter(names)[twice[0]]} times; rename or remove one")


@contextmanager
def _readable(path: Path, part: str) -> Iterator[None]:
    """Damage that shows only when a part is read: a truncated file, another one in its place, a disk that fails."""
    try:
        yield
    except (pa.ArrowException, OSError, KeyError) as error:
        raise DataError(f"{path}: {part} cannot be read ({_first_line(error)}); restore the file, or leave it out") from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _stat(path: Path) -> Mapping[str, Any]:
    stat = path.stat()
    return {"file": path.name, "bytes": stat.st_size, "modified": stat.st_mtime_ns}
