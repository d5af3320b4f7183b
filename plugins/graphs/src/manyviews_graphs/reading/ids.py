"""Nodes by name: text, or numbers with gaps, as a table of nodes lists them or as the edges use them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int

from manyviews.errors import DataError
from manyviews_graphs.reading.frames import read_frame


@dataclass(frozen=True)
class Ids:
    """A column of ids: the different ones, and which of them stands in each row."""

    where: str
    column: str
    values: pd.Index
    codes: Int[np.ndarray, "rows"]

    def numbers(self, known: pd.Index, known_in: str) -> Int[np.ndarray, "rows"]:
        """The place of each row's id in `known`.

        Raises:
            DataError: An id is not there; names it and its row.
        """
        numbers = known.get_indexer(self.values)[self.codes]
        lost = np.flatnonzero(numbers < 0)
        if len(lost):
            raise DataError(
                f"{self.where}: {self.column!r} of edge {lost[0]} is node {plain(self.values[self.codes[lost[0]]])!r}, which "
                f"{known_in} does not have ({len(lost):,} such edges)\nAdd the node there, or remove its edges."
            )
        return numbers


def is_text(table: pa.Table, name: str) -> bool:
    """Whether the column's cells are text, so that ids compared with them must be text too."""
    kind = table.schema.field(name).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def read_ids(table: pa.Table, name: str, path: Path, *, text: bool) -> Ids:
    """A column of ids: text, or whole numbers.

    Raises:
        DataError: An id is missing, or is a number with a point.
    """
    if text and not is_text(table, name):
        table = read_frame(path, [name], as_text=[name])  # 007 stays 007
    found = table[name].combine_chunks()
    if text:
        found = found.cast(pa.large_string())
    lost = pc.or_kleene(found.is_null(), pc.equal(found, "")) if text else found.is_null()
    if pc.any(lost).as_py():
        row = int(np.flatnonzero(lost.to_numpy(zero_copy_only=False))[0])
        raise DataError(f"{path}: row {row} has no {name!r}; give each an id, or remove the row")
    if not text and not pa.types.is_integer(found.type):
        try:
            found = found.cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise DataError(f"{path}: {name!r} should be whole numbers or text ({str(error).splitlines()[0]})") from error
    encoded = found.dictionary_encode()
    values = encoded.dictionary.to_pandas().to_numpy()
    return Ids(str(path), name, pd.Index(values), encoded.indices.to_numpy(zero_copy_only=False))


def plain(value: Any) -> Any:
    """A number of numpy's as Python writes it."""
    return value.item() if isinstance(value, np.generic) else value


def known_nodes(ids: Ids) -> pd.Index:
    """The ids of a table of nodes, a node each row.

    Raises:
        DataError: One comes twice.
    """
    if len(ids.values) < len(ids.codes):
        code = np.flatnonzero(np.bincount(ids.codes) > 1)[0]
        rows = np.flatnonzero(ids.codes == code)
        node = plain(ids.values[code])
        raise DataError(f"{ids.where}: node {node!r} is there {len(rows)} times, in rows {rows[0]} and {rows[1]}; keep one")
    return as_range(ids.values)


def nodes_of_edges(ends: Sequence[Ids]) -> pd.Index:
    """Every node that an edge names, in ascending order."""
    return as_range(pd.Index(np.unique(np.concatenate([each.values.to_numpy() for each in ends]))))


def as_range(ids: pd.Index) -> pd.Index:
    """Ids 0, 1, 2, … need no dictionary."""
    plain = ids.dtype.kind in "iu" and len(ids) and ids[0] == 0 and ids[-1] == len(ids) - 1
    if plain and (ids.to_numpy() == np.arange(len(ids))).all():
        return pd.RangeIndex(len(ids))
    return ids
