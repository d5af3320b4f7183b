"""What of a table is looked at before it is served: a sample of the training rows, and whole columns of labels and groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from manyviews.errors import DataError
from manyviews.shuffle import Permutation
from manyviews.subset import Subset
from manyviews_tabular.reading import Rows


@dataclass(frozen=True)
class Sample:
    """Training rows to infer from. `rows` are their numbers in the file, for messages; `where` is the file."""

    table: pa.Table
    rows: Int[np.ndarray, "rows"]
    where: str


def draw_sample(rows: Rows, columns: Sequence[str], train: Subset, most: int) -> Sample:
    """The training rows, or `most` of them drawn with a fixed seed; one pass over the row groups."""
    if len(train) == 0:
        raise DataError(f"{rows.where}: no row is a training row; look at data.splits")
    places = np.arange(min(most, len(train)))
    if len(train) > most:
        places = np.sort(Permutation(len(train), np.random.default_rng(0))[places])
    drawn, parts, start = train[places], [], 0
    for group, count in enumerate(rows.groups):
        first, last = np.searchsorted(drawn, (start, start + count))
        if last > first:
            table = rows.read(group, columns)
            parts.append(table if last - first == count else table.take(pa.array(drawn[first:last] - start)))
        start += count
    return Sample(_concat(parts, rows.where), drawn, rows.where)


def read_column(rows: Rows, name: str) -> pa.ChunkedArray:
    """One column of all groups."""
    parts = [rows.read(group, [name]) for group in range(len(rows.groups))]
    return _concat(parts, rows.where)[name] if parts else pa.chunked_array([], pa.null())


def _concat(parts: Sequence[pa.Table], where: str) -> pa.Table:
    try:
        return pa.concat_tables(parts, promote_options="permissive")
    except pa.ArrowTypeError as error:
        raise DataError(f"{where}: the files disagree about a column's type: {error}") from error
