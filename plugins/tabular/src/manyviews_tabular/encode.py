"""Cells to scaled numbers and codes, as a spec says: the one way from a table into arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float, Int

from manyviews.errors import DataError
from manyviews_tabular import cells
from manyviews_tabular.schema import FIRST_LEVEL, MISSING, RARE, UNSEEN, CategoricalColumn, NumericColumn, TableSpec


@dataclass(frozen=True)
class Encoded:
    """Rows as arrays."""

    values: Float[np.ndarray, "rows numeric"]
    """Scaled, float32; 0 where missing."""
    missing: Bool[np.ndarray, "rows numeric"]
    codes: Int[np.ndarray, "rows categorical"]
    standard: Float[np.ndarray, "rows numeric"]
    """(x - mean) / std of the training rows, float32; 0 where missing. For the raw-input features, never for encoders."""

    def __len__(self) -> int:
        return len(self.values)

    def take(self, index: Int[np.ndarray, "chosen"]) -> Encoded:
        return Encoded(self.values[index], self.missing[index], self.codes[index], self.standard[index])

    @classmethod
    def join(cls, parts: Sequence[Encoded]) -> Encoded:
        if len(parts) == 1:
            return parts[0]
        names = ("values", "missing", "codes", "standard")
        return cls(*(np.concatenate([part.__dict__[name] for part in parts]) for name in names))


def encode(table: pa.Table, spec: TableSpec, where: str, first_row: int = 0) -> Encoded:
    """The rows of `table`, matched by column name; columns that the spec does not know are ignored.

    Raises:
        DataError: A column is missing, or a cell does not fit its column's type.
    """
    check_columns(table.column_names, spec, where)
    rows = table.num_rows
    values = np.zeros((rows, len(spec.numeric)), np.float32)
    standard = np.zeros_like(values)
    missing = np.zeros(values.shape, bool)
    codes = np.zeros((rows, len(spec.categorical)), np.int32)
    plain = {name: cells.plain(table[name], spec.missing_markers) for name in spec.columns}
    dates = {name: _moments(plain[name], name, where, first_row) for name in {c.column for c in spec.numeric if c.part}}
    for i, column in enumerate(spec.numeric):
        if column.part is None:
            x = _numbers(plain[column.column], column.name, where, first_row)
        else:
            x = cells.date_part(dates[column.column], column.part)
        missing[:, i] = np.isnan(x)
        values[:, i], standard[:, i] = _scaled(x, column)
    for i, category in enumerate(spec.categorical):
        codes[:, i] = code(plain[category.name], category)
    return Encoded(values, missing, codes, standard)


def check_columns(names: Sequence[str], spec: TableSpec, where: str) -> None:
    """All columns that the spec reads are there."""
    if lacking := [name for name in spec.columns if name not in names]:
        shown = ", ".join(repr(name) for name in lacking[:8]) + (f" and {len(lacking) - 8} more" if len(lacking) > 8 else "")
        raise DataError(
            f"{where}: {'column' if len(lacking) == 1 else 'columns'} {shown} missing, which the encoder was trained on.\n"
            "Columns are matched by name; rename or add them (empty cells count as missing values)."
        )


def code(array: pa.Array, column: CategoricalColumn) -> Int[np.ndarray, "rows"]:
    """Codes of a column's cells (as `cells.plain` gives them)."""
    text = cells.levels(array, by_value=column.by_value, lower=column.type == "boolean")
    found = pc.index_in(text, value_set=pa.array(column.levels, pa.large_string()))
    codes = pc.fill_null(found, UNSEEN - FIRST_LEVEL).to_numpy(zero_copy_only=False) + FIRST_LEVEL
    if column.rare:
        rare = pc.is_in(text, value_set=pa.array(column.rare, pa.large_string()))
        codes = np.where(rare.to_numpy(zero_copy_only=False), RARE, codes)
    return np.where(text.is_null().to_numpy(zero_copy_only=False), MISSING, codes)


def _numbers(array: pa.Array, name: str, where: str, first_row: int) -> Float[np.ndarray, "rows"]:
    x, junk = cells.numbers(array)
    if junk.any():
        row = int(np.flatnonzero(junk)[0])
        raise cells.junk_error(where, name, first_row + row, array[row].as_py(), "numeric")
    infinite = np.isinf(x)
    if infinite.any():
        raise cells.infinite_error(where, name, first_row + int(np.flatnonzero(infinite)[0]))
    return x


def _moments(array: pa.Array, name: str, where: str, first_row: int) -> pa.Array:
    moments, junk = cells.times(array)
    if junk.any():
        row = int(np.flatnonzero(junk)[0])
        raise cells.junk_error(where, name, first_row + row, array[row].as_py(), "datetime")
    return moments


def _scaled(x: Float[np.ndarray, "rows"], column: NumericColumn) -> tuple[Float[np.ndarray, "rows"], Float[np.ndarray, "rows"]]:
    """By the column's scaling and standardised, 0 where missing."""
    return np.nan_to_num(column.scaling(x)), np.nan_to_num((x - column.mean) / column.std)
