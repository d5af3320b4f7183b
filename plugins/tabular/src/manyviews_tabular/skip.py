"""`on_error: skip`: the rows of a table that can be used, and why the others cannot.

Found before anything is fitted, in two passes over the table: one for row groups that cannot be read, one for cells. A
column is of numbers where its cells are for the greater part, or where the user or a fitted spec says so; a row that holds
something else there, or an infinite number, is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Bool

from manyviews.errors import DataError
from manyviews.subset import Subset
from manyviews_tabular import cells
from manyviews_tabular.reading import Rows
from manyviews_tabular.sample import draw_sample
from manyviews_tabular.schema import ColumnType, TableSpec

Mask = Bool[np.ndarray, "group"]


class KeptRows(Rows):
    """Some rows of a table, in the groups in which it is stored."""

    def __init__(self, rows: Rows, kept: Sequence[Mask]) -> None:
        self.rows, self.kept = rows, tuple(kept)
        self.where, self.names = rows.where, rows.names
        self.groups = tuple(int(mask.sum()) for mask in kept)

    @property
    def on_disk(self) -> bool:
        return self.rows.on_disk

    def read(self, group: int, columns: Sequence[str]) -> pa.Table:
        if not self.groups[group]:  # it may not even be readable
            return pa.table({name: pa.nulls(0) for name in columns})
        return self.rows.read(group, columns).filter(pa.array(self.kept[group]))

    def fingerprint(self) -> Mapping[str, object]:
        return self.rows.fingerprint()

    @property
    def every(self) -> Bool[np.ndarray, "rows"]:
        """Which rows of the whole table are kept."""
        return np.concatenate([np.zeros(0, bool), *self.kept])


@dataclass(frozen=True)
class Reading:
    """What will be read of a table, and how."""

    columns: Sequence[str]
    types: Mapping[str, ColumnType]
    """Types that are given, and so not guessed."""
    spec: TableSpec | None
    """A fitted one, or none."""
    markers: tuple[str, ...]
    """Texts that mean "no value"."""
    most: int
    """Rows to look at for a column's type."""


def sound_rows(rows: Rows, reading: Reading) -> tuple[KeptRows, list[str]]:
    """The rows that can be used, and a line for each row, or group of rows, that cannot.

    Raises:
        DataError: None can.
    """
    reasons: list[str] = []
    readable = KeptRows(rows, list(_readable(rows, reading, reasons)))
    kept = readable
    if sum(readable.groups):
        suspects = _suspects(readable, reading)
        kept = KeptRows(rows, [_sound(readable, group, suspects, reading, reasons) for group in range(len(rows.groups))])
    if sum(rows.groups) and not sum(kept.groups):
        raise DataError(f"{rows.where}: no row can be used, all were left out; the first: {reasons[0]}")
    return kept, reasons


def _readable(rows: Rows, reading: Reading, reasons: list[str]) -> Iterator[Mask]:
    for group, count in enumerate(rows.groups):
        try:
            rows.read(group, reading.columns)
        except DataError as error:
            reasons.append(f"{error.args[0]} ({count} rows)")
            yield np.zeros(count, dtype=bool)
        else:
            yield np.ones(count, dtype=bool)


def _suspects(rows: Rows, reading: Reading) -> dict[str, ColumnType]:
    """The columns in which a cell can be bad: those of numbers and dates."""
    sample = draw_sample(rows, reading.columns, Subset(sum(rows.groups)), reading.most).table
    found = {name: reading.types.get(name) or _kind(cells.plain(sample[name], reading.markers)) for name in reading.columns}
    fitted = {
        column.column: "datetime" if column.part else "numeric" for column in (reading.spec.numeric if reading.spec else ())
    }
    return {name: kind for name, kind in (found | fitted).items() if kind in ("numeric", "datetime") and name in rows.names}


def _kind(array: pa.Array) -> ColumnType | None:
    if cells.is_number(array.type):
        return "numeric"
    if not cells.is_text(array.type):
        return None
    junk = int(cells.numbers(array)[1].sum())
    return "numeric" if junk < (len(array) - array.null_count) / 2 else None


def _sound(rows: KeptRows, group: int, suspects: Mapping[str, ColumnType], reading: Reading, reasons: list[str]) -> Mask:
    if not rows.groups[group]:
        return rows.kept[group]
    table, (where, first) = rows.read(group, list(suspects)), rows.rows.place(group)
    sound = np.ones(table.num_rows, dtype=bool)
    for name, kind in suspects.items():
        array = cells.plain(table[name], reading.markers)
        bad = np.flatnonzero(_bad(array, kind) & sound)
        sound[bad] = False
        reasons += [f"{where}: row {first + i}: {name} is {array[i].as_py()!r}" for i in bad.tolist()]
    return sound


def _bad(array: pa.Array, kind: ColumnType) -> Bool[np.ndarray, "rows"]:
    if kind == "datetime":
        return cells.times(array)[1]
    x, junk = cells.numbers(array)
    return junk | np.isinf(x)
