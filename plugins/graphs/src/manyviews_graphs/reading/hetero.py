"""A graph with several types of nodes and edges as one of a single type: what a node or edge was, becomes features.

The features of all types share their channels, a narrower type's filled up with zeros; behind them will stand one channel
a type that says which it is (`RawGraphs.node_kinds`, `edge_kinds`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse
from torch_geometric.data import HeteroData

from manyviews.errors import DataError
from manyviews_graphs.reading.merge import Graph
from manyviews_graphs.reading.raw import Kinds, Matrix
from manyviews_graphs.reading.tensors import array_of, matrix_of


def homogeneous(data: HeteroData, name: str, masks: dict[str, str], where: str) -> tuple[Graph, tuple[str, ...]]:
    """The graph, and what is to be said of it.

    Args:
        data: The graph; `to_homogeneous` numbers its nodes and edges through, type after type.
        name: The attribute that probes predict; nodes of types without it have no label.
        masks: The attribute of each split's mask.
        where: For messages.

    Raises:
        DataError: It has no edges, or a type's number of nodes is not known.
    """
    ends = [end for kind in data.edge_types for end in (kind[0], kind[2])]
    absent = next((end for end in ends if end not in data.node_types), None)
    lost = absent or next((kind for kind in data.node_types if data[kind].num_nodes is None), None)
    if lost is not None:
        raise DataError(f"{where}: how many nodes of type {lost!r} are there? Give them x, or set num_nodes")
    plain = data.to_homogeneous(node_attrs=[], edge_attrs=[], dummy_values=False)
    if plain.edge_index is None:
        raise DataError(f"{where}: there are no edges of any type in it")
    sizes = [int(data[kind].num_nodes) for kind in data.node_types]
    x, widths = _padded([matrix_of(data[kind].get("x"), where) for kind in data.node_types], sizes)
    counts = [data[kind].num_edges for kind in data.edge_types]
    edge_x, _ = _padded([matrix_of(data[kind].get("edge_attr"), where) for kind in data.edge_types], counts)
    source, target = plain.edge_index.numpy()
    graph = Graph(
        nodes=sum(sizes),
        source=source,
        target=target,
        x=x,
        edge_x=edge_x if edge_x is None or isinstance(edge_x, np.ndarray) else edge_x.toarray(),
        y=_spread([array_of(data[kind].get(name)) for kind in data.node_types], sizes, where, name),
        masks={
            split: found
            for split, mask in masks.items()
            if (found := _spread([array_of(data[kind].get(mask)) for kind in data.node_types], sizes, where, mask)) is not None
        },
        node_kinds=Kinds(tuple(data.node_types), plain.node_type.numpy()),
        edge_kinds=Kinds(tuple("-".join(kind) for kind in data.edge_types), plain.edge_type.numpy()),
    )
    if len(set(widths)) < 2:
        return graph, ()
    said = ", ".join(f"{kind} {width}" for kind, width in zip(data.node_types, widths, strict=True))
    return graph, (f"node types have features of different widths ({said}): filled up with zeros to {max(widths)}",)


def _padded(parts: Sequence[Matrix | None], sizes: Sequence[int]) -> tuple[Matrix | None, list[int]]:
    """Rows of all types, as wide as the widest, and the width that each type had; None where no type has any."""
    widths = [0 if part is None else part.shape[1] for part in parts]
    if not any(widths):
        return None, widths
    sparse = any(scipy.sparse.issparse(part) for part in parts)
    blocks = []
    for part, size, width in zip(parts, sizes, widths, strict=True):
        if sparse:
            found = scipy.sparse.csr_matrix((size, width), dtype=np.float32) if part is None else scipy.sparse.csr_matrix(part)
            found.resize(size, max(widths))
        else:
            found = np.zeros((size, max(widths)), dtype=np.float32)
            found[:, :width] = 0 if part is None else part
        blocks.append(found)
    return scipy.sparse.vstack(blocks).tocsr() if sparse else np.concatenate(blocks), widths


def _spread(parts: Sequence[np.ndarray | None], sizes: Sequence[int], where: str, name: str) -> np.ndarray | None:
    """Labels or masks of all types: -1, NaN or False for nodes of types that have none."""
    having = [part for part in parts if part is not None]
    if not having:
        return None
    empty: float | bool = {"f": np.nan, "b": False}.get(having[0].dtype.kind, -1)
    blocks = []
    for part, size in zip(parts, sizes, strict=True):
        if part is not None and len(part) != size:
            raise DataError(f"{where}: {name!r} of a type of {size} nodes has {len(part)} values; expected one for each")
        blocks.append(np.full((size, *having[0].shape[1:]), empty, dtype=having[0].dtype) if part is None else part)
    return np.concatenate(blocks)
