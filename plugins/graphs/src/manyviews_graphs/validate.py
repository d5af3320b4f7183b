"""What is wrong with graphs, all of it, each in words: found at load, before an index reads a foreign node's row.

What is merely unusual (isolated nodes, self-loops, an edge that is there twice) is no fault: it is counted elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from jaxtyping import Int, Shaped

from manyviews.errors import DataError
from manyviews_graphs.reading.raw import Matrix, RawGraphs

CHUNK = 1 << 24
"""Numbers that are looked at together: mapped features need not fit into memory."""

TOGETHER = 1 << 18
"""Edges that are looked at together."""


@dataclass(frozen=True)
class Problem:
    """Something that would spoil a run."""

    text: str
    """In at most three lines: what, where, and what to do."""
    graph: int | None = None
    """The graph that could be left out because of it; None where all are concerned."""


def check(raw: RawGraphs) -> None:
    """Refuses graphs with the first problem that they have.

    Raises:
        DataError: Says which, and how many more there are.
    """
    found = list(problems(raw))
    if found:
        more = f"\n({len(found) - 1} more such problems: manyviews doctor lists them)" if len(found) > 1 else ""
        lines = found[0].text.splitlines()[: 2 if more else 3]
        raise DataError("\n".join(lines) + more)


def problems(raw: RawGraphs) -> Iterator[Problem]:
    """Everything that is wrong, one problem of a kind for each graph."""
    shapes = list(_shapes(raw))
    yield from [*shapes, *_labels(raw)]
    if raw.graphs == 0 or raw.nodes.sum() == 0:
        yield Problem(f"{raw.where}: there are no nodes in it")
    yield from _ends(raw)
    if not shapes:
        yield from _values(raw, "features", raw.x, raw.nodes, raw.node)
        yield from _values(raw, "edge features", raw.edge_x, raw.edges, raw.edge)


def _shapes(raw: RawGraphs) -> Iterator[Problem]:
    """That everything is as many as it should be."""
    nodes, edges = int(raw.nodes.sum()), int(raw.edges.sum())
    sizes = [
        ("x", raw.x, nodes, "nodes"),
        ("node labels", raw.node_labels, nodes, "nodes"),
        ("edge features", raw.edge_x, edges, "edges"),
        ("edge labels", raw.edge_labels, edges, "edges"),
    ]
    for name, values, wanted, what in sizes:
        if values is not None and values.shape[0] != wanted:
            yield Problem(f"{raw.where}: {name} has {values.shape[0]:,} rows for {wanted:,} {what}; expected one for each")
    for name, values in (("x", raw.x), ("edge features", raw.edge_x)):
        if values is not None and (values.ndim != 2 or values.dtype.kind not in "fiub"):
            yield Problem(f"{raw.where}: {name} is {values.dtype} of shape {values.shape}; expected numbers (rows, channels)")


def _labels(raw: RawGraphs) -> Iterator[Problem]:
    """That there is one for each node, or for each graph."""
    nodes = int(raw.nodes.sum())
    if raw.labels is not None and len(raw.labels.values) not in (nodes, raw.graphs):
        graphs = f" or {raw.graphs:,} graphs" if raw.many else ""
        yield Problem(
            f"{raw.where}: {len(raw.labels.values):,} labels {raw.labels.name!r} for {nodes:,} nodes{graphs}; give one for each"
        )


def _ends(raw: RawGraphs) -> Iterator[Problem]:
    """That edges end in nodes of their own graph."""
    last = raw.edges.cumsum()
    parts = [np.zeros(0, np.int64)]
    for at in range(0, len(raw.source), TOGETHER):
        source, target = raw.source[at : at + TOGETHER], raw.target[at : at + TOGETHER]
        sizes = raw.nodes[np.searchsorted(last, np.arange(at, at + len(source)), side="right")]
        parts.append(at + np.flatnonzero((source < 0) | (target < 0) | (source >= sizes) | (target >= sizes)))
    wrong = np.concatenate(parts)
    for graph, edge in _first_of_each(wrong, raw.edges):
        nodes = int(raw.nodes[graph])
        ends = (int(raw.source[edge]), int(raw.target[edge]))
        bad = next(end for end in ends if not 0 <= end < nodes)
        why = "negative" if bad < 0 else f"beyond its {nodes} nodes (0 to {nodes - 1})"
        yield Problem(
            f"{raw.where}: {raw.edge(edge)}, {ends[0]} -> {ends[1]}, has an end that is {why}\n{_advice(raw, graph)}",
            graph if raw.many else None,
        )


def _advice(raw: RawGraphs, graph: int) -> str:
    first, last = int(raw.edges[:graph].sum()), int(raw.edges[: graph + 1].sum())
    ends = np.concatenate([raw.source[first:last], raw.target[first:last]])
    if ends.min() >= 1 and ends.max() == raw.nodes[graph]:
        return "They seem to be counted from 1: subtract 1 from each."
    return "Correct the edge, or give the nodes that are missing."


def _values(
    raw: RawGraphs, what: str, values: Matrix | None, sizes: Int[np.ndarray, "graphs"], name: object
) -> Iterator[Problem]:
    """That numbers are finite: a NaN would spread from node to node, unnoticed."""
    if values is None or values.dtype.kind != "f":
        return
    rows = _not_finite(values)
    for graph, row in _first_of_each(rows, sizes):
        called = raw.node(row) if what == "features" else raw.edge(row)
        found = values[row].toarray()[0] if scipy.sparse.issparse(values) else np.asarray(values[row])
        channel = int(np.flatnonzero(~np.isfinite(found))[0])
        column = f" ({raw.attributes[channel]!r})" if len(raw.attributes) == len(found) and what == "features" else ""
        yield Problem(
            f"{raw.where}: the {what} of {called} hold {found[channel]} in channel {channel}{column}; {len(rows)} such rows\n"
            "Fill in a number (and a flag that it was missing), or leave the node or channel out.",
            graph if raw.many else None,
        )


def _not_finite(values: Matrix) -> Int[np.ndarray, "rows"]:
    """The rows with NaN or infinity, a piece at a time."""
    if not isinstance(values, np.ndarray):
        bad = np.flatnonzero(~np.isfinite(values.data))
        return np.unique(np.searchsorted(values.indptr, bad, side="right") - 1)
    step = max(CHUNK // max(values.shape[1], 1), 1)
    parts = [np.flatnonzero(~_finite(values[at : at + step])) + at for at in range(0, len(values), step)]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)


def _finite(values: Shaped[np.ndarray, "rows channels"]) -> Shaped[np.ndarray, "rows"]:
    total = values.sum(dtype=np.float64)  # NaN and infinity survive a sum, and most pieces are sound
    return np.full(len(values), True) if np.isfinite(total) else np.isfinite(values).all(1)


def _first_of_each(items: Int[np.ndarray, "items"], sizes: Int[np.ndarray, "graphs"]) -> Iterator[tuple[int, int]]:
    """Each graph that has one of these nodes or edges, with the first of them."""
    graphs, first = np.unique(np.searchsorted(np.cumsum(sizes), items, side="right"), return_index=True)
    yield from zip(graphs.tolist(), items[first].tolist(), strict=True)
