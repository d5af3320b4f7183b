"""Arrow columns to numbers, levels and dates: what a cell means, in one place for fitting and for reading.

Files disagree about types (text in CSV, integers that pandas made floats because one was missing, categories), so a
cell is judged by its value: 3, 3.0 and "3" are one number, and a missing marker is missing whatever the column's type.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Float

from manyviews.errors import DataError
from manyviews_tabular.schema import DatePart

MARKERS = ("", "?", "NA", "N/A", "<NA>", "NaN", "nan", "null", "NULL", "None")
"""Texts that mean "no value", after blanks around them are cut off."""


def plain(column: pa.ChunkedArray | pa.Array, markers: Sequence[str]) -> pa.Array:
    """One array, dictionaries decoded, text trimmed, missing markers made null."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):  # text beyond 2 GiB stays in chunks
        array = pa.concat_arrays([chunk.cast(pa.large_string()) for chunk in array.chunks])
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if is_number(array.type) and (sentinels := _numeric(markers)):
        return pc.if_else(pc.is_in(array.cast(pa.float64()), value_set=pa.array(sentinels, pa.float64())), None, array)
    if not is_text(array.type):
        return array
    text = pc.utf8_trim_whitespace(array.cast(pa.large_string()))
    return pc.if_else(pc.is_in(text, value_set=pa.array(markers, pa.large_string())), None, text)


def _numeric(markers: Sequence[str]) -> list[float]:
    """Markers that are numbers, such as -999."""
    series = pd.to_numeric(pd.Series(list(markers), dtype=object), errors="coerce").dropna()
    return [float(value) for value in series]


def is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def is_time(kind: pa.DataType) -> bool:
    return pa.types.is_timestamp(kind) or pa.types.is_date(kind)


def numbers(array: pa.Array) -> tuple[Float[np.ndarray, "rows"], Bool[np.ndarray, "rows"]]:
    """The cells of a `plain` array as float64, NaN where missing, and where a cell is there but is no number."""
    if is_text(array.type):
        return _parsed(array)
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int8())
    if pa.types.is_null(array.type) or is_number(array.type):
        values = array.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return values, np.zeros(len(array), bool)
    return np.full(len(array), np.nan), array.is_valid().to_numpy(zero_copy_only=False)


def _parsed(array: pa.Array) -> tuple[Float[np.ndarray, "rows"], Bool[np.ndarray, "rows"]]:
    """Text as numbers. Each different text is parsed once: most columns have few."""
    encoded = array.dictionary_encode()
    try:
        distinct = encoded.dictionary.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        texts = pd.Series(encoded.dictionary.to_numpy(zero_copy_only=False), dtype=object)
        distinct = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    there = array.is_valid().to_numpy(zero_copy_only=False)
    place = pc.fill_null(encoded.indices, len(distinct)).to_numpy(zero_copy_only=False)
    values = np.append(distinct, np.nan)[place]
    return values, np.isnan(values) & there


def times(array: pa.Array) -> tuple[pa.Array, Bool[np.ndarray, "rows"]]:
    """The cells of a `plain` array as timestamps in UTC without a zone, and where a cell is there but is no date.

    Text is read as ISO 8601 (2024-05-17, 2024-05-17 08:30:00).
    """
    valid = array.is_valid().to_numpy(zero_copy_only=False)
    if is_text(array.type):
        text = pd.Series(array.to_numpy(zero_copy_only=False), dtype=object)
        moments = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True).dt.tz_convert(None)
        array = pa.array(moments, from_pandas=True)
    elif not is_time(array.type):
        return pa.nulls(len(array), pa.timestamp("us")), valid
    array = array.cast(pa.timestamp("us", tz=array.type.tz if pa.types.is_timestamp(array.type) else None), safe=False)
    if array.type.tz is not None:
        array = array.cast(pa.timestamp("us", tz="UTC")).cast(pa.timestamp("us"))
    return array, valid & ~array.is_valid().to_numpy(zero_copy_only=False)


def date_part(moments: pa.Array, part: DatePart) -> Float[np.ndarray, "rows"]:
    """One part of each date, NaN where missing. Minutes are a fraction of `hour`; `weekday` counts from Monday, 0."""
    if part == "hour":
        values = pc.add(pc.cast(pc.hour(moments), pa.float64()), pc.divide(pc.cast(pc.minute(moments), pa.float64()), 60.0))
    else:
        reader = {"year": pc.year, "month": pc.month, "day": pc.day, "weekday": pc.day_of_week}[part]
        values = pc.cast(reader(moments), pa.float64())
    return values.to_numpy(zero_copy_only=False)


def levels(array: pa.Array, *, by_value: bool, lower: bool = False) -> pa.Array:
    """The cells of a `plain` array as text; numbers as short as can be ("3", not "3.0"); `lower` for booleans."""
    if pa.types.is_floating(array.type) or pa.types.is_decimal(array.type) or (by_value and is_text(array.type)):
        array = _number_text(array)
    text = array.cast(pa.large_string())
    return pc.utf8_lower(text) if lower else text


def _number_text(array: pa.Array) -> pa.Array:
    encoded = array.dictionary_encode()
    distinct = [_shortest(value) for value in encoded.dictionary.to_pylist()]
    return pa.DictionaryArray.from_arrays(encoded.indices, pa.array(distinct, pa.large_string())).dictionary_decode()


def _shortest(value: object) -> str | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except ValueError:
        return str(value)
    if np.isnan(number):
        return None
    return str(int(number)) if number.is_integer() else repr(number)


def junk_error(where: str, column: str, row: int, value: object, type_: str) -> DataError:
    """A cell that does not fit its column's type."""
    kind = "number" if type_ == "numeric" else "date"
    return DataError(
        f"{where}: column {column!r} holds {kind}s, but row {row} (the first is 0) holds {value!r}.\n"
        f"If {value!r} means a missing value, add it to data.missing; "
        f"if the column holds categories, set data.types={{{column}: categorical}}."
    )


def infinite_error(where: str, column: str, row: int) -> DataError:
    """An infinite number."""
    return DataError(
        f"{where}: column {column!r} is infinite in row {row} (the first is 0).\n"
        "Replace infinite values by numbers, or leave the cells empty (missing)."
    )
