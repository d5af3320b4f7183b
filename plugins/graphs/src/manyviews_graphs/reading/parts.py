"""Many graphs that are stored as one, numbered through: taken apart by the graph that each node is of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Shaped

from manyviews.errors import DataError


@dataclass(frozen=True)
class Parts:
    """The edges, graph after graph, by numbers of nodes in their own graph."""

    nodes: Int[np.ndarray, "graphs"]
    edges: Int[np.ndarray, "graphs"]
    source: Int[np.ndarray, "all_edges"]
    target: Int[np.ndarray, "all_edges"]
    order: Int[np.ndarray, "all_edges"]
    """Where each edge stood, for what belongs to edges."""


def part(
    source: Int[np.ndarray, "all_edges"],
    target: Int[np.ndarray, "all_edges"],
    owner: Shaped[np.ndarray, "all_nodes"],
    graphs: int,
    where: str,
    first: int = 0,
) -> Parts:
    """The graphs apart.

    Args:
        source: Numbers of nodes through all graphs, from 0.
        target: The same.
        owner: The graph of each node.
        graphs: How many there are at least: the last ones may have no nodes.
        where: The file, for messages.
        first: What the file counts graphs and nodes from.

    Raises:
        DataError: The owners do not ascend, or an edge leads to no node or into another graph.
    """
    if owner.dtype.kind not in "iu" or (len(owner) and owner.min() < first) or (np.diff(owner) < 0).any():
        raise DataError(f"{where}: expected the graph of each node as a number from {first} on, in ascending order")
    owner = owner - first
    nodes = np.bincount(owner, minlength=graphs)
    wrong = np.flatnonzero((source < 0) | (target < 0) | (source >= len(owner)) | (target >= len(owner)))
    if len(wrong):
        ends = f"{source[wrong[0]] + first} -> {target[wrong[0]] + first}"
        last = len(owner) - 1 + first
        raise DataError(f"{where}: edge {wrong[0]} is {ends}, and its {len(owner)} nodes are {first} to {last}; correct it")
    graph = owner[source]
    across = np.flatnonzero(graph != owner[target])
    if len(across):
        ends = f"{graph[across[0]] + first} and {owner[target[across[0]]] + first}"
        raise DataError(f"{where}: edge {across[0]} runs between two graphs, {ends}; correct it")
    order = np.argsort(graph, kind="stable")
    starts = (nodes.cumsum() - nodes)[graph[order]]
    edges = np.bincount(graph, minlength=len(nodes))
    return Parts(nodes, edges, source[order] - starts, target[order] - starts, order)
