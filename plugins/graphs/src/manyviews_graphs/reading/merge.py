"""Graphs one by one, from Python's memory, become one `RawGraphs`: what some have, all must have, and alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import scipy.sparse
from jaxtyping import Int, Shaped

from manyviews.errors import DataError
from manyviews.splits import NAMES
from manyviews_graphs.reading.files import digest
from manyviews_graphs.reading.masks import splits_of_masks
from manyviews_graphs.reading.raw import Kinds, Matrix, Options, RawGraphs
from manyviews_graphs.reading.targets import labels_of, single_column


@dataclass(frozen=True)
class Graph:
    """One graph, as it is found."""

    nodes: int
    source: Int[np.ndarray, "edges"]
    target: Int[np.ndarray, "edges"]
    x: Matrix | None = None
    edge_x: Shaped[np.ndarray, "edges channels"] | None = None
    y: np.ndarray | None = None
    """Of its nodes, or one value of its own."""
    masks: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Of its nodes, by split."""
    node_labels: Shaped[np.ndarray, "nodes"] | None = None
    edge_labels: Shaped[np.ndarray, "edges"] | None = None
    node_kinds: Kinds | None = None
    edge_kinds: Kinds | None = None


def merge(graphs: Sequence[Graph], where: str, *, many: bool) -> RawGraphs:
    """Graphs back to back, without labels.

    Raises:
        DataError: There is no graph, or some have features and some have none, or of another width.
    """
    if not graphs:
        raise DataError(f"{where}: there are no graphs in it")
    x = together([graph.x for graph in graphs], "node features", where)
    edge_x = together([graph.edge_x for graph in graphs], "edge features", where)
    node_labels = together([graph.node_labels for graph in graphs], "node labels", where)
    edge_labels = together([graph.edge_labels for graph in graphs], "edge labels", where)
    source, target = (np.concatenate(ends) for ends in zip(*((g.source, g.target) for g in graphs), strict=True))
    return RawGraphs(
        where=where,
        many=many,
        nodes=np.array([graph.nodes for graph in graphs], dtype=np.int64),
        edges=np.array([len(graph.source) for graph in graphs], dtype=np.int64),
        source=source,
        target=target,
        x=x,
        edge_x=edge_x,
        node_labels=node_labels,
        edge_labels=edge_labels,
        node_kinds=_kinds([graph.node_kinds for graph in graphs], where),
        edge_kinds=_kinds([graph.edge_kinds for graph in graphs], where),
        fingerprint=digest([source, target, x, edge_x, node_labels, edge_labels]),
    )


def together(parts: Sequence[Matrix | None], what: str, where: str) -> Matrix | None:
    """Rows of all graphs; None where none has any.

    Raises:
        DataError: Some have them and some have not, or of another width.
    """
    having = [(number, part) for number, part in enumerate(parts) if part is not None]
    if not having:
        return None
    if len(having) < len(parts):
        without = next(number for number, part in enumerate(parts) if part is None)
        raise DataError(f"{where}: graph {without} has no {what}, and graph {having[0][0]} has; give them to all or to none")
    rows = [(number, part) for number, part in having if part.shape[0]] or having[:1]  # nothing has any width
    first, width = rows[0][0], rows[0][1].shape[1:]
    odd = next(((number, part.shape[1:]) for number, part in rows if part.shape[1:] != width), None)
    if odd is not None:
        raise DataError(f"{where}: graph {odd[0]} has {what} of width {odd[1]}, and graph {first} of width {width}")
    found = [part for _, part in rows]
    if len(found) == 1:
        return found[0]
    if any(scipy.sparse.issparse(part) for part in found):
        return scipy.sparse.vstack([scipy.sparse.csr_matrix(part) for part in found]).tocsr()
    return np.concatenate(found)


def _kinds(parts: Sequence[Kinds | None], where: str) -> Kinds | None:
    codes = together([None if part is None else part.codes for part in parts], "types", where)
    names = {part.names for part in parts if part is not None}
    if len(names) > 1:
        raise DataError(
            f"{where}: its graphs have different types: {' and '.join(', '.join(some) for some in sorted(names)[:2])}"
        )
    return None if codes is None else Kinds(names.pop(), codes)


def with_labels(raw: RawGraphs, graphs: Sequence[Graph], name: str, options: Options) -> RawGraphs:
    """The graphs with what probes predict: a value of each graph, or of each node, with the splits of their masks.

    Raises:
        DataError: Some graphs have a label and some have none.
    """
    values = together([graph.y for graph in graphs], f"labels {name!r}", raw.where)
    if values is None:
        return raw
    column, notes = single_column(name, values)
    if column is None:
        return replace(raw, notes=(*raw.notes, *notes))
    labels = labels_of(name, column, raw.where, options.target_kind)
    if len(column) == int(raw.nodes.sum()):
        splits = {split: together([g.masks.get(split) for g in graphs], f"mask {split}", raw.where) for split in NAMES}
        labels = replace(labels, splits=splits_of_masks(splits, len(column), options.split_number, raw.where))
    return replace(raw, labels=labels, notes=(*raw.notes, *notes))
