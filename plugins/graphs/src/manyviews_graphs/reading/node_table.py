"""A table of nodes: ids, features, and what probes predict; one row a node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Shaped

from manyviews.errors import DataError
from manyviews.plugins.suggest import did_you_mean
from manyviews.source import Labels
from manyviews.splits import NAMES
from manyviews_graphs.reading import frames
from manyviews_graphs.reading.raw import Options
from manyviews_graphs.reading.targets import labels_of, named_like_labels, said_of

ID_NAMES = ("id", "node_id", "node", "nodeid", "nodeId")
SPLIT = "split"


@dataclass(frozen=True)
class NodeTable:
    """What a table says of nodes."""

    table: pa.Table
    path: Path
    id_column: str
    attributes: tuple[str, ...]
    """The columns that are features."""
    left_out: tuple[str, ...]
    """Columns that are nothing."""
    target: str | None = None
    """The column that probes predict."""
    guessed: bool = False
    """It was chosen for its name."""

    @classmethod
    def read(cls, path: Path, options: Options, *, features: bool) -> NodeTable:
        """A file's table; `features`: unless columns are named, all numbers and lists of numbers are features.

        Raises:
            DataError: A column that is named is not there, or is named as a feature and holds text.
        """
        table = frames.read_frame(path)
        if not table.num_rows:
            raise DataError(f"{path}: the table has no rows")
        named = {"target": options.target, "id_column": options.id_column, "node_label": options.node_label}
        for key, name in named.items():
            if name is not None:
                check_column(name, table.column_names, path, key)
        first = next((name for name in ID_NAMES if name in table.column_names), table.column_names[0])
        id_column = options.id_column or first
        free = [name for name in table.column_names if name not in {*named.values(), id_column, SPLIT}]
        guess = None
        if options.target is None:
            guess = named_like_labels(free, options.attributes, lambda name: frames.column(table, name))
        others = [name for name in free if name != guess]
        usable = [name for name in others if _is_feature(table, name)]
        chosen = tuple(options.attributes if options.attributes is not None else usable if features else ())
        for name in chosen:
            check_column(name, table.column_names, path, "attributes")
            if not _is_feature(table, name):
                raise DataError(f"{path}: column {name!r} (data.attributes) holds {table[name].type}; expected numbers")
        left_out = tuple(name for name in others if name not in chosen)
        return cls(table, path, id_column, chosen, left_out, options.target or guess, guess is not None)

    def x(self) -> np.ndarray | None:
        """The features, float32; NaN where there is none."""
        if not self.attributes:
            return None
        return np.concatenate([_values(self.table, name, self.path) for name in self.attributes], axis=1)

    def labels(self, options: Options) -> Labels | None:
        """What probes predict, with the splits of a column `split`."""
        if self.target is None:
            return None
        values = frames.column(self.table, self.target)
        labels = labels_of(self.target, values, str(self.path), options.target_kind)
        if SPLIT not in self.table.column_names:
            return labels
        splits = pd.Series(frames.column(self.table, SPLIT)).fillna("").astype(str).to_numpy(dtype="U5")
        wrong = np.flatnonzero(~np.isin(splits, [*NAMES, ""]))
        if len(wrong):
            raise DataError(
                f"{self.path}: {SPLIT!r} of row {wrong[0]} is {str(splits[wrong[0]])!r}; expected train, valid or test"
            )
        return Labels(labels.name, labels.kind, labels.values, labels.classes, splits)

    def node_labels(self, options: Options) -> Shaped[np.ndarray, "nodes"] | None:
        """The column of categories that are inputs."""
        return None if options.node_label is None else frames.column(self.table, options.node_label)

    def notes(self) -> tuple[str, ...]:
        """Which columns are left out, and which is taken for the labels."""
        out = (f"columns that are no features: {', '.join(self.left_out)}",) if self.left_out else ()
        return out if not self.guessed or self.target is None else (*out, said_of(self.target))


def check_column(name: str, names: Sequence[str], path: Path, key: str) -> None:
    """That a table has the column.

    Raises:
        DataError: It has not; names the nearest.
    """
    if name not in names:
        hint = did_you_mean(name, names) or f" It has: {', '.join(names)}"
        raise DataError(f"{path}: there is no column {name!r} (data.{key}).{hint}")


def _is_feature(table: pa.Table, name: str) -> bool:
    kind = table.schema.field(name).type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return frames.is_number(kind.value_type)
    return frames.is_number(kind)


def _values(table: pa.Table, name: str, path: Path) -> Shaped[np.ndarray, "nodes channels"]:
    found = table[name].combine_chunks()
    if frames.is_number(found.type):
        return frames.column(table, name).astype(np.float32)[:, None]
    lengths = np.array([-1 if row is None else len(row) for row in found.to_pylist()]) if found.null_count else None
    lengths = np.diff(np.asarray(found.offsets)) if lengths is None and not pa.types.is_fixed_size_list(found.type) else lengths
    if lengths is not None and (lengths != lengths[0]).any():
        row = int(np.flatnonzero(lengths != lengths[0])[0])
        raise DataError(f"{path}: {name!r} of row {row} holds {max(lengths[row], 0)} numbers, and row 0 holds {lengths[0]}")
    return np.asarray(found.flatten(), dtype=np.float32).reshape(len(found), -1)
