"""Graphs as named arrays, in one of three vocabularies.

PyG's: `edge_index` (2, edges), `x`, `edge_attr`, `y`, `batch` (the graph of each node), `train_mask`, …; that of the GNN
benchmark (Shchur et al. 2018): `adj_data`, `adj_indices`, `adj_indptr`, `adj_shape`, `attr_…`, `labels`; and that of the
heterophilous graphs (Platonov et al. 2023): `edges` (edges, 2), `node_features`, `node_labels`, `train_masks`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse
from jaxtyping import Int, Shaped

from manyviews.errors import DataError
from manyviews.source import Labels
from manyviews_graphs.reading.masks import splits_of_masks
from manyviews_graphs.reading.npy import Arrays
from manyviews_graphs.reading.parts import part
from manyviews_graphs.reading.pickles import csr_from
from manyviews_graphs.reading.raw import Matrix, Options, RawGraphs, check_length
from manyviews_graphs.reading.targets import labels_of, single_column

USES = frozenset({"target", "target_kind", "split_number"})
EDGES = ("edge_index", "edges", "adj_indptr")
TARGETS = ("y", "labels", "node_labels")


def holds_graph(names: frozenset[str]) -> bool:
    """Whether arrays of these names make up a graph."""
    return any(name in names for name in EDGES)


def read(arrays: Arrays, options: Options) -> RawGraphs:
    """One graph; many, where `batch` says which graph each node is of.

    Raises:
        DataError: No edges are there, or arrays do not fit one another.
    """
    source, target, listed = _edges(arrays)
    x, edge_x, batch = _features(arrays), arrays.get("edge_attr", "edge_weight"), arrays.get("batch")
    name, values, notes = _targets(arrays, options)
    counts = [x.shape[0] if x is not None else None, listed, None if batch is None else len(batch)]
    units = None if values is None else len(values)
    last = max(int(source.max(initial=-1)), int(target.max(initial=-1)))
    nodes = next((count for count in [*counts, units] if count is not None), last + 1)
    raw = RawGraphs(
        where=arrays.where,
        many=False,
        nodes=np.array([nodes]),
        edges=np.array([len(source)]),
        source=source,
        target=target,
        x=x,
        edge_x=edge_x if edge_x is None or edge_x.ndim == 2 else edge_x[:, None],
        fingerprint=arrays.fingerprint(),
    )
    if batch is not None:
        raw = _apart(raw, batch, 0 if units in (None, nodes) else units)
    return replace(raw, labels=None if values is None else _labels(arrays, options, name, values), notes=notes)


def _apart(raw: RawGraphs, batch: Shaped[np.ndarray, "nodes"], graphs: int) -> RawGraphs:
    check_length(raw.where, "batch", batch, int(raw.nodes[0]), "nodes")
    check_length(raw.where, "edge_attr", raw.edge_x, len(raw.source), "edges")
    parts = part(raw.source, raw.target, batch, graphs, raw.where)
    edge_x = None if raw.edge_x is None else raw.edge_x[parts.order]
    return replace(
        raw, many=True, nodes=parts.nodes, edges=parts.edges, source=parts.source, target=parts.target, edge_x=edge_x
    )


def _edges(arrays: Arrays) -> tuple[Int[np.ndarray, "edges"], Int[np.ndarray, "edges"], int | None]:
    """Both ends of each edge, and the number of nodes where it is said."""
    if "edge_index" in arrays.names:
        return (*_pair(arrays, "edge_index", 0), _count(arrays))
    if "edges" in arrays.names:
        return (*_pair(arrays, "edges", 1), _count(arrays))
    if "adj_indptr" not in arrays.names:
        raise DataError(
            f"{arrays.where}: there are no edges among its arrays ({', '.join(sorted(arrays.names)[:8])})\n"
            "Expected edge_index (2, edges), edges (edges, 2), or adj_indptr with adj_indices and adj_shape."
        )
    matrix = _sparse(arrays, "adj").tocoo()
    return matrix.row.astype(np.int64), matrix.col.astype(np.int64), matrix.shape[0]


def _pair(arrays: Arrays, name: str, axis: int) -> tuple[Int[np.ndarray, "edges"], Int[np.ndarray, "edges"]]:
    found = arrays.read(name)
    wanted = "(2, edges)" if axis == 0 else "(edges, 2)"
    if found.ndim != 2 or found.shape[axis] != 2:
        hint = "; transpose it" if found.ndim == 2 and found.shape[1 - axis] == 2 else ""
        raise DataError(f"{arrays.where}: {name} has shape {found.shape}; expected {wanted}{hint}")
    if found.dtype.kind not in "iu":
        raise DataError(f"{arrays.where}: {name} holds {found.dtype}; expected whole numbers of nodes")
    source, target = found if axis == 0 else found.T
    return source, target


def _count(arrays: Arrays) -> int | None:
    found = arrays.get("num_nodes")
    return None if found is None else int(found)


def _sparse(arrays: Arrays, prefix: str) -> scipy.sparse.csr_matrix:
    parts = [arrays.get(f"{prefix}_{name}") for name in ("data", "indices", "indptr", "shape")]
    if parts[0] is None and parts[1] is not None:
        parts[0] = np.ones(len(parts[1]), dtype=np.float32)
    if any(each is None for each in parts):
        raise DataError(f"{arrays.where}: {prefix}_indptr needs {prefix}_indices and {prefix}_shape beside it")
    return csr_from(parts, f"{arrays.where}: {prefix}_…")


def _features(arrays: Arrays) -> Matrix | None:
    if "attr_indptr" in arrays.names:
        return _sparse(arrays, "attr")
    x = arrays.get("x", "node_features", "attr_matrix")
    return x[:, None] if x is not None and x.ndim == 1 else x


def _targets(arrays: Arrays, options: Options) -> tuple[str, Shaped[np.ndarray, "units"] | None, tuple[str, ...]]:
    """The name and the values of what probes predict, and what is to be said of it."""
    if options.target is not None and options.target not in arrays.names:
        raise DataError(
            f"{arrays.where}: there is no array {options.target!r} (data.target); {', '.join(sorted(arrays.names))}"
        )
    names = TARGETS if options.target is None else (options.target,)
    name = next((name for name in names if name in arrays.names), None)
    return ("", None, ()) if name is None else (name, *single_column(name, arrays.read(name)))


def _labels(arrays: Arrays, options: Options, name: str, values: Shaped[np.ndarray, "units"]) -> Labels:
    labels = labels_of(name, values, arrays.where, options.target_kind, classes=_class_names(arrays))
    names = {"train": "train_mask", "valid": "val_mask", "test": "test_mask"}
    masks = {split: arrays.get(mask, f"{mask}s") for split, mask in names.items()}
    return replace(labels, splits=splits_of_masks(masks, len(values), options.split_number, arrays.where))


def _class_names(arrays: Arrays) -> list[str] | None:
    """Their names where they can be read: archives of the benchmark have some as Python objects, and numbers will do."""
    try:
        found = arrays.get("class_names")
    except DataError:
        return None
    return None if found is None else found.astype(str).tolist()
