"""Types, statistics and vocabularies of a table, guessed from training rows and overridable by name.

The guesses: numbers are numbers, also where a file stores them as text; text is a category unless all or most of its values
are unique; ISO dates are dates; a column without two different values, a unique key and a row number say nothing and are
dropped with a warning. A text column that is numbers for the greater part and something else for the rest is refused,
because both readings are plausible and a wrong one stays unnoticed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float

from manyviews.errors import DataError
from manyviews_tabular import cells
from manyviews_tabular.sample import Sample
from manyviews_tabular.scaling import ScalingName, fit_scaling, quantile_bins
from manyviews_tabular.schema import CategoricalColumn, ColumnType, DatePart, NumericColumn, TableSpec

log = logging.getLogger(__name__)

BINS = 32
KEY_ROWS = 20
"""Fewer rows than this are too few to call a text column unique."""
DATE_PARTS: tuple[DatePart, ...] = ("year", "month", "day", "weekday", "hour")


@dataclass(frozen=True)
class Options:
    """What a user may decide about inference."""

    types: Mapping[str, ColumnType]
    scaling: ScalingName
    markers: tuple[str, ...]
    max_levels: int
    min_count: int


def infer(sample: Sample, options: Options) -> TableSpec:
    """The spec of a table. Every column that becomes no token is named in a warning and in `dropped`."""
    numeric: list[NumericColumn] = []
    categorical: list[CategoricalColumn] = []
    dropped: dict[str, str] = {}
    for name in sample.table.column_names:
        found = column_tokens(name, sample, options)
        match found:
            case str():
                dropped[name] = found
                log.warning("%s: column %r is left out: %s", sample.where, name, found)
            case CategoricalColumn():
                categorical.append(found)
            case _:
                numeric.extend(found)
    if not numeric and not categorical:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in dropped.items())
        raise DataError(f"{sample.where}: no column is left to learn from ({reasons or 'there are none'})")
    return TableSpec(
        rows=sample.table.num_rows,
        numeric=tuple(numeric),
        categorical=tuple(categorical),
        dropped=dropped,
        missing_markers=options.markers,
    )


def column_tokens(name: str, sample: Sample, options: Options) -> str | CategoricalColumn | list[NumericColumn]:
    """The tokens of one column, or the reason why it has none."""
    array = cells.plain(sample.table[name], options.markers)
    if array.null_count == len(array):
        return "all its values are missing"
    asked = options.types.get(name)
    kind = asked or guess(array, name, sample, options)
    match kind:
        case "numeric":
            return _numbers(name, array, sample, options, free=asked is None)
        case "datetime":
            return _dates(name, array, sample, options)
        case "categorical" | "boolean":
            return _levels(name, array, kind, options, free=asked is None)
        case _:
            return kind


def guess(array: pa.Array, name: str, sample: Sample, options: Options) -> ColumnType | str:
    """The type of a column, or in words why it can be none."""
    if pa.types.is_boolean(array.type):
        return "boolean"
    if cells.is_time(array.type):
        return "datetime"
    if cells.is_number(array.type):
        return "numeric"
    if not cells.is_text(array.type):
        return f"values of type {array.type} are neither numbers, text nor dates"
    return _guess_text(array, name, sample)


def _guess_text(array: pa.Array, name: str, sample: Sample) -> ColumnType:
    there = len(array) - array.null_count
    _, junk = cells.numbers(array)
    bad = int(junk.sum())
    if bad == 0:
        return "numeric"
    if bad < there / 2:
        first = int(np.flatnonzero(junk)[0])
        raise cells.junk_error(sample.where, name, int(sample.rows[first]), array[first].as_py(), "numeric")
    distinct = pc.unique(array).drop_null()
    texts = distinct.to_pylist()
    if {text.lower() for text in texts} <= {"true", "false"}:
        return "boolean"
    # ISO dates have a dash; the look at one value spares a parse of most text columns
    if "-" in texts[0] and not cells.times(distinct)[1].any():
        return "datetime"
    return "categorical"


def _numbers(name: str, array: pa.Array, sample: Sample, options: Options, *, free: bool) -> str | list[NumericColumn]:
    x, junk = cells.numbers(array)
    if junk.any():
        first = int(np.flatnonzero(junk)[0])
        raise cells.junk_error(sample.where, name, int(sample.rows[first]), array[first].as_py(), "numeric")
    if np.isinf(x).any():
        raise cells.infinite_error(sample.where, name, int(sample.rows[np.flatnonzero(np.isinf(x))[0]]))
    if cells.is_text(array.type) and not sample.where.endswith((".csv", ".tsv", ".txt")):
        log.warning("%s: column %r stores numbers as text; read as numbers", sample.where, name)
    if free and _row_number(x):
        return "it counts the rows (every value once, without gaps); keep it with types={" + name + ": numeric}"
    return _number_token(name, name, None, x, options)


def _dates(name: str, array: pa.Array, sample: Sample, options: Options) -> str | list[NumericColumn]:
    moments, junk = cells.times(array)
    if junk.any():
        first = int(np.flatnonzero(junk)[0])
        raise cells.junk_error(sample.where, name, int(sample.rows[first]), array[first].as_py(), "datetime")
    parts = [_number_token(f"{name}.{part}", name, part, cells.date_part(moments, part), options) for part in DATE_PARTS]
    tokens = [token for found in parts if not isinstance(found, str) for token in found]
    return tokens or "all its values are equal"


def _number_token(
    name: str, column: str, part: DatePart | None, x: Float[np.ndarray, "rows"], options: Options
) -> str | list[NumericColumn]:
    known = x[~np.isnan(x)]
    constant = len(known) == 0 or known.min() == known.max()
    if constant and len(known) < len(x) and part is None:
        # one value or none: what there is to know is whether it is there
        return (
            "its only value is " + f"{known[0]:g}, beside missing ones; make it a category with types={{{column}: categorical}}"
        )
    if constant:
        return "all its values are equal"
    scaling = fit_scaling(options.scaling, known)
    token = NumericColumn(
        name=name,
        column=column,
        part=part,
        scaling=scaling,
        bins=tuple(scaling(quantile_bins(known, BINS)).tolist()),
        mean=float(known.mean()),
        std=float(known.std()),
        minimum=float(known.min()),
        maximum=float(known.max()),
        missing=float(np.isnan(x).mean()),
    )
    return [token]


def _row_number(x: Float[np.ndarray, "rows"]) -> bool:
    """Whole numbers, each once, that fill half of their range or more: the rows counted, of which some are not for training."""
    if len(x) < 100 or np.isnan(x).any() or (x != np.round(x)).any():
        return False
    return bool(x.max() - x.min() < 2 * len(x)) and len(np.unique(x)) == len(x)


def _levels(name: str, array: pa.Array, kind: ColumnType, options: Options, *, free: bool) -> str | CategoricalColumn:
    by_value = kind == "categorical" and _all_numbers(array)
    text = cells.levels(array, by_value=by_value, lower=kind == "boolean")
    counts = pc.value_counts(text.drop_null())
    tally = sorted(
        zip(counts.field(0).to_pylist(), counts.field(1).to_pylist(), strict=True), key=lambda pair: (-pair[1], pair[0])
    )
    there = len(text) - text.null_count
    if len(tally) < 2 and text.null_count == 0:
        return "all its values are equal"
    if free and there >= KEY_ROWS and len(tally) == there:
        return "a unique key: every value occurs once"
    if free and len(tally) > max(options.max_levels, there // 2):
        return f"free text: {len(tally)} different values in {there} rows; keep it with types={{{name}: categorical}}"
    kept = [level for level, count in tally[: options.max_levels] if count >= options.min_count]
    return CategoricalColumn(
        name=name,
        type="boolean" if kind == "boolean" else "categorical",
        levels=tuple(kept),
        rare=tuple(sorted({level for level, _ in tally} - set(kept))),
        by_value=by_value,
        missing=text.null_count / len(text),
    )


def _all_numbers(array: pa.Array) -> bool:
    """Whether all levels are numbers; codes with a leading zero (01234) are not, since 1234 may be another."""
    if not cells.is_text(array.type):
        return cells.is_number(array.type)
    if pc.any(pc.match_substring_regex(array, r"^0\d")).as_py():
        return False
    return not cells.numbers(array)[1].any()


def check_types(types: Mapping[str, str], ignore: Sequence[str], columns: Sequence[str], where: str) -> None:
    """Columns named by the user are there."""
    for key, names in {"types": list(types), "ignore": list(ignore)}.items():
        for name in names:
            if name not in columns:
                raise unknown_column(key, name, columns, where)


def unknown_column(key: str, name: str, columns: Sequence[str], where: str) -> DataError:
    """A column that the user named and the table lacks, with the nearest of those it has."""
    from difflib import get_close_matches

    near = get_close_matches(name, columns, n=1) or get_close_matches(name.lower(), columns, n=1, cutoff=0.5)
    guess_ = (
        f"Did you mean {near[0]!r}?" if near else f"It has: {', '.join(list(columns)[:12])}{', …' if len(columns) > 12 else ''}"
    )
    return DataError(f"{where}: there is no column {name!r} (data.{key}).\n{guess_}")
