"""The label column: never an input, only what probes predict."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int

from manyviews.errors import DataError
from manyviews.source import Labels
from manyviews_tabular import cells
from manyviews_tabular.schema import TargetKind

MOST_CLASSES = 20
"""Whole numbers of up to so many different values are classes where the kind is `auto`."""


def read_target(column: pa.ChunkedArray, name: str, kind: TargetKind, markers: tuple[str, ...], where: str) -> Labels:
    """Classes (sorted; numbers by value) or numbers. Rows without a value are unlabelled: -1 or NaN."""
    array = cells.plain(column, markers)
    x, junk = cells.numbers(array)
    if kind == "regression" and junk.any():
        row = int(np.flatnonzero(junk)[0])
        raise DataError(f"{where}: the target {name!r} is to be a number, but row {row} holds {array[row].as_py()!r}")
    if kind == "regression" or (kind == "auto" and not junk.any() and not _few_whole(x)):
        if np.isinf(x).any():
            raise cells.infinite_error(where, name, int(np.flatnonzero(np.isinf(x))[0]))
        return Labels(name, "regression", x)
    numeric = not junk.any()
    text = cells.levels(array, by_value=numeric)
    classes = sorted(
        pc.unique(text).drop_null().to_pylist(), key=float if numeric and not pa.types.is_boolean(array.type) else str
    )
    codes = pc.fill_null(pc.index_in(text, value_set=pa.array(classes, pa.large_string())), -1)
    return Labels(name, "classification", codes.to_numpy(zero_copy_only=False).astype(np.int64), tuple(classes))


def strata(labels: Labels | None, rows: int) -> Int[np.ndarray, "rows"]:
    """What splits are drawn evenly from: the classes; one stratum for everything else."""
    if labels is None or labels.kind == "regression":
        return np.zeros(rows, np.int8)
    return labels.values


def _few_whole(x: np.ndarray) -> bool:
    known = np.unique(x[~np.isnan(x)])
    return len(known) <= MOST_CLASSES and bool((known == np.round(known)).all())
