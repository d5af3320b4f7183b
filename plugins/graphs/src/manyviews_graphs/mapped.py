"""Edges put in order without being in memory: what `arrange` does, a stretch at a time, into a file that is mapped.

Neighbour sampling reads a few edges of each batch, so that the edges of a graph may be more than memory holds. They are dealt
out to buckets of neighbouring target nodes, as many to each as are sorted together, and each bucket is then put in order by
itself: two passes over the edges as they are given, one over the buckets (a distribution sort). Files are temporary ones
without a name (`TMPDIR` says where): they are gone with the process, however it ends.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from jaxtyping import Int

from manyviews_graphs.arrange import Arranged
from manyviews_graphs.csr import CSR
from manyviews_graphs.reading.raw import RawGraphs

TOGETHER = 1 << 18
"""Edges that are read, or sorted, together: some ten megabytes."""
Ends = tuple[Int[np.ndarray, "edges"], Int[np.ndarray, "edges"]]


def arrange_mapped(raw: RawGraphs, *, undirected: bool, self_loops: bool) -> Arranged:
    """The edges of one checked graph, as `arrange` gives them without rows; the CSR's `source` is mapped from a file.

    Args:
        raw: Where they are.
        undirected: Add the other direction where it is missing.
        self_loops: Keep those that are there.
    """
    nodes = int(raw.nodes[0])
    counts, loops = np.zeros(nodes, np.int64), 0
    for source, target in _given(raw):
        loop = source == target
        loops += int(loop.sum())
        kept = slice(None) if self_loops else ~loop
        counts += np.bincount(target[kept], minlength=nodes)
        if undirected:
            counts += np.bincount(source[kept], minlength=nodes)
    given = len(raw.source) - (0 if self_loops else loops)
    starts = np.concatenate([[0], counts.cumsum()])
    first = _first_nodes(starts)
    keys = _file(np.int64, int(starts[-1]))
    _deal_out(raw, keys, first, starts, undirected=undirected, self_loops=self_loops)
    narrow = np.int32 if nodes <= np.iinfo(np.int32).max else np.int64
    sources, written, there = _file(narrow, int(starts[-1])), 0, 0
    for low, high in pairwise(first.tolist()):
        ordered = np.sort(keys[starts[low] : starts[high]])
        once = np.append(True, ordered[1:] >> 1 != ordered[:-1] >> 1)[: len(ordered)]
        ordered = ordered[once]
        there += int((ordered & 1 == 0).sum())
        ordered >>= 1
        sources[written : written + len(ordered)] = ordered % max(nodes, 1)
        counts[low:high] = np.bincount(ordered // max(nodes, 1) - low, minlength=high - low)
        written += len(ordered)
    pointer = np.concatenate([[0], counts.cumsum()])
    return Arranged(CSR(pointer, sources[:written]), None, loops, given - there, written - there)


def _given(raw: RawGraphs) -> Iterator[Ends]:
    for at in range(0, len(raw.source), TOGETHER):
        yield np.asarray(raw.source[at : at + TOGETHER]), np.asarray(raw.target[at : at + TOGETHER])


def _first_nodes(starts: Int[np.ndarray, "nodes_and_one"]) -> Int[np.ndarray, "buckets_and_one"]:
    """The first node of each bucket, and the end: as many nodes as have so many edges, or one that has more."""
    first = [0]
    while first[-1] < len(starts) - 1:
        after = int(np.searchsorted(starts, starts[first[-1]] + TOGETHER, side="right")) - 1
        first.append(max(after, first[-1] + 1))
    return np.array(first)


def _deal_out(
    raw: RawGraphs,
    keys: Int[np.ndarray, "edges"],
    first: Int[np.ndarray, "buckets_and_one"],
    starts: Int[np.ndarray, "nodes_and_one"],
    *,
    undirected: bool,
    self_loops: bool,
) -> None:
    """A number for each edge into its bucket, which sorts by target, then source, given ones before those added."""
    nodes, cursor = int(raw.nodes[0]), starts[first[:-1]].copy()
    for ends in _given(raw):
        source, target = (end.astype(np.int64) for end in ends)
        if not self_loops:
            between = source != target
            source, target = source[between], target[between]
        made = (target * nodes + source) * 2
        if undirected:
            made, target = np.concatenate([made, (source * nodes + target) * 2 + 1]), np.concatenate([target, source])
        bucket = np.searchsorted(first, target, side="right") - 1
        made = made[np.argsort(bucket, kind="stable")]
        ends_at = np.bincount(bucket, minlength=len(cursor)).cumsum()
        for number in np.unique(bucket).tolist():
            part = made[ends_at[number - 1] if number else 0 : ends_at[number]]
            keys[cursor[number] : cursor[number] + len(part)] = part
            cursor[number] += len(part)


def _file(dtype: type[np.generic], count: int) -> np.ndarray:
    """An array in a file without a name."""
    with tempfile.TemporaryFile() as file:  # the mapping holds it open
        return np.memmap(file, dtype, "w+", shape=(count,)) if count else np.zeros(0, dtype)
