"""Graphs as they are stored, before anything is judged, fitted or put in order: what every reader gives.

Nodes and edges of all graphs stand back to back, and edges name nodes by their number in their own graph, so that an
edge that leads out of its graph still shows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import scipy.sparse
from jaxtyping import Int

from manyviews.errors import DataError
from manyviews.source import Labels

Matrix: TypeAlias = "np.ndarray | scipy.sparse.csr_matrix"
"""Features: a dense array, in memory or mapped from a file, or a SciPy CSR matrix."""


@dataclass(frozen=True)
class Kinds:
    """What kind of node or edge each is, in a graph that has several."""

    names: tuple[str, ...]
    codes: Int[np.ndarray, "items"]


@dataclass(frozen=True)
class RawGraphs:
    """One graph or many. What belongs to nodes and edges is in their order."""

    where: str
    """What messages call it: a file, a folder, `Data`."""
    many: bool
    """A collection, in which a graph is a sample; else one whole graph."""
    nodes: Int[np.ndarray, "graphs"]
    """Nodes of each graph."""
    edges: Int[np.ndarray, "graphs"]
    """Edges of each graph."""
    source: Int[np.ndarray, "all_edges"]
    target: Int[np.ndarray, "all_edges"]
    x: Matrix | None = None
    """(nodes, channels), once `validate` has said so; the same holds for all that follows."""
    node_labels: np.ndarray | None = None
    """(nodes): a category that is an input, such as the atoms of a molecule. Not what probes predict."""
    edge_x: np.ndarray | None = None
    """(edges, channels)."""
    edge_labels: np.ndarray | None = None
    """(edges)."""
    node_kinds: Kinds | None = None
    edge_kinds: Kinds | None = None
    labels: Labels | None = None
    """Of nodes or of graphs, whichever they are as many as; with the splits that the data bring."""
    directed: bool | None = None
    """What the format says of direction; None: nothing."""
    ids: Sequence[Any] | None = None
    """What the nodes of one graph are called in the file, where that is not their number."""
    attributes: tuple[str, ...] = ()
    """Names of the columns of `x`, where they were chosen by name."""
    notes: tuple[str, ...] = ()
    """What the reader did that one should know."""
    fingerprint: Mapping[str, Any] = field(default_factory=dict)

    @property
    def graphs(self) -> int:
        return len(self.nodes)

    def node(self, number: int) -> str:
        """What a message calls a node, by its number through all graphs."""
        if self.many:
            graph = int(np.searchsorted(np.cumsum(self.nodes), number, side="right"))
            return f"node {number - int(self.nodes[:graph].sum())} of graph {graph}"
        return f"node {number}" if self.ids is None else f"node {self.ids[number]!r}"

    def edge(self, number: int) -> str:
        """What a message calls an edge, by its number through all graphs."""
        if self.many:
            graph = int(np.searchsorted(np.cumsum(self.edges), number, side="right"))
            return f"edge {number - int(self.edges[:graph].sum())} of graph {graph}"
        return f"edge {number}"


def check_length(where: str, name: str, values: Matrix | None, wanted: int, what: str) -> None:
    """That there is one value for each of `wanted` nodes, edges or graphs."""
    if values is not None and values.shape[0] != wanted:
        raise DataError(f"{where}: {name} has {values.shape[0]:,} rows for {wanted:,} {what}; expected one for each")


@dataclass(frozen=True)
class Options:
    """What a user may say about how data are read; a reader that has no use for one of these refuses it."""

    nodes: str | None = None
    node_features: str | None = None
    edge_columns: Sequence[str] | None = None
    id_column: str | None = None
    attributes: Sequence[str] | None = None
    edge_attributes: Sequence[str] | None = None
    node_label: str | None = None
    target: str | None = None
    target_kind: Literal["auto", "classification", "regression"] = "auto"
    split_number: int = 0
    channels: int | None = None
    """Channels that a trained encoder has: a bag of numbered features has as many, whichever occur."""
