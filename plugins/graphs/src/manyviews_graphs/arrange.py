"""Edges put in order: numbered through all graphs, each there once, by target and source, in both directions where asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from manyviews_graphs.csr import CSR
from manyviews_graphs.reading.raw import RawGraphs


@dataclass(frozen=True)
class Arranged:
    """The edges, and what was done to them."""

    csr: CSR
    """Through all graphs; those into one node in ascending order of their source."""
    rows: Int[np.ndarray, "edges"] | None
    """The given edge that each one was made from, for what belongs to edges; None where nothing does."""
    loops: int
    """Self-loops that were given."""
    repeated: int
    """Given edges that were there already, and were left out."""
    added: int
    """Edges added because only the other direction was there."""


def arrange(raw: RawGraphs, *, undirected: bool, self_loops: bool, with_rows: bool) -> Arranged:
    """The edges of checked graphs.

    Args:
        raw: Where they are; each edge's ends are nodes of its graph.
        undirected: Add the other direction where it is missing.
        self_loops: Keep those that are there.
        with_rows: Keep where each edge comes from. Of several, the first; an added edge has its other direction's.
    """
    nodes = int(raw.nodes.sum())
    if raw.graphs > 1:
        starts = np.repeat(raw.nodes.cumsum() - raw.nodes, raw.edges)
        source, target = raw.source + starts, raw.target + starts
    else:
        source, target = raw.source, raw.target
    loop = source == target
    loops = int(loop.sum())
    rows = np.arange(len(source)) if with_rows else None
    if loops and not self_loops:
        between = ~loop
        source, target, rows = source[between], target[between], None if rows is None else rows[between]
    given = len(source)
    del loop
    keys, rows = _once(_keys(source, target, nodes), rows)
    repeated, added = given - len(keys), 0
    if undirected:
        back = _keys(keys // nodes, keys % nodes, nodes) if nodes else keys
        both, rows = _once(np.concatenate([keys, back]), None if rows is None else np.concatenate([rows, rows]))
        added = len(both) - len(keys)
        keys = both
    return Arranged(_csr(keys, nodes), rows, loops, repeated, added)


def _keys(source: Int[np.ndarray, "edges"], target: Int[np.ndarray, "edges"], nodes: int) -> Int[np.ndarray, "edges"]:
    """A number for each edge that sorts by target, then source."""
    keys = target.astype(np.int64)
    keys *= nodes
    keys += source
    return keys


def _once(
    keys: Int[np.ndarray, "edges"], rows: Int[np.ndarray, "edges"] | None
) -> tuple[Int[np.ndarray, "once"], Int[np.ndarray, "once"] | None]:
    """Keys in ascending order, each once, with the row of its first appearance."""
    if rows is None:
        keys.sort()
        return keys[_changes(keys)], None
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = _changes(keys)
    return keys[first], rows[order[first]]


def _changes(keys: Int[np.ndarray, "edges"]) -> np.ndarray:
    first = np.ones(len(keys), dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    return first


def _csr(keys: Int[np.ndarray, "edges"], nodes: int) -> CSR:
    """Of sorted keys: a row ends where the next target's keys begin."""
    pointer = np.searchsorted(keys, np.arange(nodes + 1, dtype=np.int64) * nodes)
    narrow = np.int32 if nodes <= np.iinfo(np.int32).max else np.int64
    return CSR(pointer.astype(np.int64), (keys % max(nodes, 1)).astype(narrow))
