"""Edge lists with what is known of nodes beside them: CSV, Parquet or Feather, with ids of any kind.

Nodes are those of the table of nodes, in its order; without one, those of the JSON features or of the edges, ascending;
with features by row (`.npy`, `.npz`) and no table, the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Shaped

from manyviews.errors import DataError
from manyviews_graphs.reading import frames
from manyviews_graphs.reading.beside import Beside
from manyviews_graphs.reading.files import existing, stat_of
from manyviews_graphs.reading.ids import is_text, read_ids
from manyviews_graphs.reading.node_table import check_column
from manyviews_graphs.reading.raw import Options, RawGraphs

NAME = "an edge list"
_OF_TABLES = {"nodes", "node_features", "edge_columns", "id_column", "attributes", "edge_attributes", "node_label"}
USES = frozenset(_OF_TABLES | {"target", "target_kind", "channels"})
ENDS = (
    ("source", "target"),
    ("src", "dst"),
    ("from", "to"),
    ("id1", "id2"),
    ("id_1", "id_2"),
    ("node1", "node2"),
    ("node_1", "node_2"),
)
"""Names by which the columns of an edge's ends are known."""


@dataclass(frozen=True)
class Files:
    """Where the parts of a graph are."""

    edges: Path
    nodes: Path | None
    features: Path | None


def find(path: Path) -> Files | None:
    """An edge list, or a folder with `edges.*` and, where there are, `nodes.*` and `node_features.*`."""
    if path.is_file():
        return Files(path, None, None) if path.suffix.lower() in frames.SUFFIXES else None
    edges = _one_of(path, "edges", frames.SUFFIXES)
    if edges is None:
        return None
    return Files(edges, _one_of(path, "nodes", frames.SUFFIXES), _one_of(path, "node_features", (".npy", ".npz", ".json")))


def _one_of(folder: Path, stem: str, suffixes: Sequence[str]) -> Path | None:
    return next((file for suffix in suffixes if (file := folder / f"{stem}{suffix}").is_file()), None)


def read(path: Path, options: Options) -> RawGraphs:
    """The graph.

    Raises:
        DataError: A file or a column is missing, an edge names a node that is not there, ids come twice or not at all.
    """
    files = find(path)
    assert files is not None, "chosen because it is there"
    nodes_file = existing(Path(options.nodes).expanduser(), "nodes") if options.nodes else files.nodes
    features = existing(Path(options.node_features).expanduser(), "node_features") if options.node_features else files.features
    beside = Beside.read(nodes_file, features, options)
    names = _ends(files.edges, options.edge_columns)
    edges = frames.read_frame(files.edges, [*names, *(options.edge_attributes or [])])
    text = beside.has_text_ids or any(is_text(edges, name) for name in names)
    ends = [read_ids(edges, name, files.edges, text=text) for name in names]
    nodes, said_by = beside.nodes(ends, text)
    table = beside.table
    return RawGraphs(
        where=str(files.edges),
        many=False,
        nodes=np.array([len(nodes)]),
        edges=np.array([edges.num_rows]),
        source=ends[0].numbers(nodes, said_by),
        target=ends[1].numbers(nodes, said_by),
        x=beside.x(nodes, options),
        edge_x=_edge_features(edges, options.edge_attributes, files.edges),
        node_labels=None if table is None else table.node_labels(options),
        labels=None if table is None else table.labels(options),
        ids=None if isinstance(nodes, pd.RangeIndex) else nodes.tolist(),
        attributes=() if table is None else table.attributes,
        notes=() if table is None else table.notes(),
        fingerprint={file.name: stat_of(file) for file in (files.edges, nodes_file, features) if file is not None},
    )


def _ends(path: Path, given: Sequence[str] | None) -> tuple[str, str]:
    """The columns of an edge's two ends: those given, those known by name, or the only two."""
    names = frames.column_names(path)
    if given is not None:
        for name in given:
            check_column(name, names, path, "edge_columns")
        if len(given) != 2:
            raise DataError(
                f"data.edge_columns: {list(given)} should be two columns, where an edge comes from and where it goes"
            )
        return given[0], given[1]
    known = names_ends(names)
    if known is not None:
        return known
    if len(names) == 2:
        return names[0], names[1]
    raise DataError(
        f"{path}: which of its columns are the two ends of an edge? It has: {', '.join(names)}\n"
        "Name them by data.edge_columns, such as [from, to]."
    )


def names_ends(names: Sequence[str]) -> tuple[str, str] | None:
    """The two columns that are known as the ends of an edge; None where none are."""
    return next((pair for pair in ENDS if set(pair) <= set(names)), None)


def _edge_features(table: pa.Table, names: Sequence[str] | None, path: Path) -> Shaped[np.ndarray, "edges channels"] | None:
    for name in names or ():
        if not frames.is_number(table.schema.field(name).type):
            raise DataError(f"{path}: column {name!r} (data.edge_attributes) holds {table[name].type}; expected numbers")
    return np.stack([frames.column(table, name).astype(np.float32) for name in names], axis=1) if names else None
