"""Tables of edges and nodes from files: CSV and its kin, Parquet, Feather."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet

from manyviews.errors import DataError
from manyviews_graphs.reading.files import not_empty

TEXT = (".csv", ".tsv", ".txt", ".edges", ".edgelist")
BINARY = (".parquet", ".pq", ".feather", ".arrow")
SUFFIXES = (*TEXT, *BINARY)


def read_frame(path: Path, columns: Sequence[str] | None = None, as_text: Sequence[str] = ()) -> pa.Table:
    """A table, or some of its columns.

    Args:
        path: A CSV file (`,`, `;`, tab, `|` or blanks between cells, `#` before comments, with a header unless its first
            line is numbers alone), Parquet or Feather.
        columns: Columns to read; None: all.
        as_text: Columns not to be taken for numbers.

    Raises:
        DataError: No such file, empty, damaged, or a column is there twice.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    not_empty(path)
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return pyarrow.parquet.read_table(path, columns=None if columns is None else list(columns))
        if path.suffix.lower() in BINARY:
            return pyarrow.feather.read_table(path, columns=None if columns is None else list(columns))
        return _read_csv(path, columns, as_text)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: no readable table: {str(error).splitlines()[0]}") from error


def column_names(path: Path) -> list[str]:
    """The columns of a table, without reading it."""
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    not_empty(path)
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return pyarrow.parquet.read_schema(path).names
        if path.suffix.lower() in BINARY:
            return pyarrow.feather.read_table(path, memory_map=True).column_names
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: no readable table: {str(error).splitlines()[0]}") from error
    return _layout(path)[0]


def _layout(path: Path) -> tuple[list[str], str, int]:
    """The columns of a CSV file, what stands between its cells, and the lines before the first row."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        skipped = 0
        for line in lines:
            if line.strip() and not line.startswith("#"):
                break
            skipped += 1
        else:
            raise DataError(f"{path}: the file has no rows")
    delimiter = max(",;\t| ", key=line.count)
    cells = [cell.strip().strip('"') for cell in line.strip().split(delimiter)]
    if all(cell.lstrip("-").isdigit() for cell in cells):
        return [f"column {number}" for number in range(len(cells))], delimiter, skipped
    twice = [name for name, count in Counter(cells).items() if count > 1]
    if twice:
        raise DataError(f"{path}: column {twice[0]!r} is there {Counter(cells)[twice[0]]} times; rename or remove one")
    return cells, delimiter, skipped + 1


def _read_csv(path: Path, columns: Sequence[str] | None, as_text: Sequence[str]) -> pa.Table:
    names, delimiter, skipped = _layout(path)
    try:
        return pyarrow.csv.read_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(column_names=names, skip_rows=skipped),
            parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter),
            convert_options=pyarrow.csv.ConvertOptions(
                include_columns=None if columns is None else list(columns),
                column_types=dict.fromkeys(as_text, pa.large_string()),
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return pa.table({name: pa.array([], pa.int64()) for name in (names if columns is None else columns)})
        raise


def column(table: pa.Table, name: str) -> np.ndarray:
    """One column as numbers, truth values or objects; a number that is missing is NaN."""
    found = table[name]
    if pa.types.is_dictionary(found.type):
        found = found.cast(found.type.value_type)
    return found.to_pandas().to_numpy() if found.num_chunks else np.empty(0)


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type holds numbers or truth values."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_decimal(kind)
