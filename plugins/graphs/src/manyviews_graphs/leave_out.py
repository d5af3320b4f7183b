"""Graphs of a collection that cannot be used, left out where that is wished for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Int

from manyviews_graphs.collate import ranges
from manyviews_graphs.reading.raw import Kinds, Matrix, RawGraphs
from manyviews_graphs.validate import check, problems


def without_bad(raw: RawGraphs) -> tuple[RawGraphs, tuple[str, ...]]:
    """The graphs that nothing is wrong with, and why each other one is left out.

    Raises:
        DataError: What is wrong concerns all of them, or nothing is left.
    """
    reasons: Mapping[int, str] = {found.graph: found.text for found in problems(raw) if found.graph is not None}
    if reasons and raw.many:
        raw = keep(raw, ~np.isin(np.arange(raw.graphs), list(reasons)))
    check(raw)
    return raw, tuple(" ".join(reasons[graph].splitlines()) for graph in sorted(reasons))


def keep(raw: RawGraphs, chosen: Bool[np.ndarray, "graphs"]) -> RawGraphs:
    """These graphs alone."""
    nodes, edges = _items(raw.nodes, chosen), _items(raw.edges, chosen)

    def of(values: Matrix | None, items: Int[np.ndarray, "items"]) -> Matrix | None:
        return None if values is None else values[items]

    def kinds(values: Kinds | None, items: Int[np.ndarray, "items"]) -> Kinds | None:
        return None if values is None else Kinds(values.names, values.codes[items])

    labels = raw.labels
    if labels is not None:
        units = np.flatnonzero(chosen) if len(labels.values) == raw.graphs else nodes
        splits = None if labels.splits is None else labels.splits[units]
        labels = replace(labels, values=labels.values[units], splits=splits)
    return replace(
        raw,
        nodes=raw.nodes[chosen],
        edges=raw.edges[chosen],
        source=raw.source[edges],
        target=raw.target[edges],
        x=of(raw.x, nodes),
        node_labels=of(raw.node_labels, nodes),
        edge_x=of(raw.edge_x, edges),
        edge_labels=of(raw.edge_labels, edges),
        node_kinds=kinds(raw.node_kinds, nodes),
        edge_kinds=kinds(raw.edge_kinds, edges),
        labels=labels,
    )


def _items(sizes: Int[np.ndarray, "graphs"], chosen: Bool[np.ndarray, "graphs"]) -> Int[np.ndarray, "items"]:
    """The nodes or edges of these graphs."""
    starts = sizes.cumsum() - sizes
    return ranges(starts[chosen], sizes[chosen])
