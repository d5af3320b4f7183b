"""What lies beside an edge list: a table of nodes, features in a file of their own, both, or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from manyviews.errors import DataError
from manyviews_graphs.reading.ids import Ids, is_text, known_nodes, nodes_of_edges, read_ids
from manyviews_graphs.reading.node_features import json_ids, json_rows, read_json, read_rows
from manyviews_graphs.reading.node_table import NodeTable
from manyviews_graphs.reading.raw import Matrix, Options, check_length


@dataclass(frozen=True)
class Beside:
    """It says which nodes there are, and what they are like."""

    table: NodeTable | None = None
    file: Path | None = None
    """Of the features."""
    by_id: Mapping[str, Sequence[Any]] | None = None
    by_row: Matrix | None = None

    @classmethod
    def read(cls, nodes: Path | None, features: Path | None, options: Options) -> Beside:
        """Whatever there is.

        Raises:
            DataError: Features are given twice, or a parameter speaks of a table that is not there.
        """
        table = None if nodes is None else NodeTable.read(nodes, options, features=features is None)
        if table is None:
            _check_no_table(options)
        elif features is not None and table.attributes:
            raise DataError(f"{nodes}: features are named here (data.attributes) and given by {features}; choose one of them")
        if features is None:
            return cls(table)
        if features.suffix.lower() == ".json":
            return cls(table, features, by_id=read_json(features))
        return cls(table, features, by_row=read_rows(features))

    @property
    def has_text_ids(self) -> bool:
        """Whether nodes are named by text here."""
        if self.table is not None:
            return is_text(self.table.table, self.table.id_column)
        return self.by_id is not None and json_ids(self.by_id).dtype.kind not in "iu"

    def nodes(self, ends: Sequence[Ids], text: bool) -> tuple[pd.Index, str]:
        """The ids of all nodes in their order, and what says so."""
        if self.table is not None:
            return known_nodes(
                read_ids(self.table.table, self.table.id_column, self.table.path, text=text)
            ), self.table.path.name
        if self.by_id is not None:
            found = json_ids(self.by_id)
            return pd.Index(found.astype(str)) if text else found, str(self.file)
        if self.by_row is not None:
            return pd.RangeIndex(self.by_row.shape[0]), f"{self.file} ({self.by_row.shape[0]:,} rows, numbered from 0)"
        return nodes_of_edges(ends), ends[0].where

    def x(self, nodes: pd.Index, options: Options) -> Matrix | None:
        """The features of these nodes."""
        if self.by_id is not None and self.file is not None:
            return json_rows(self.by_id, nodes, self.file, options.channels)
        if self.by_row is not None:
            check_length(str(self.file), "the matrix of features", self.by_row, len(nodes), "nodes")
            return self.by_row
        return None if self.table is None else self.table.x()


def _check_no_table(options: Options) -> None:
    given = {"target": options.target, "id_column": options.id_column, "node_label": options.node_label}
    for key, value in {**given, "attributes": options.attributes}.items():
        if value is not None:
            raise DataError(
                f"data.{key}: {value!r} is to be a column of a table of nodes, and there is none; name one by data.nodes"
            )
