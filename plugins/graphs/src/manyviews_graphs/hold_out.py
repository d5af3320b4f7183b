"""Edges kept out of a graph to be asked for, with as many pairs of nodes that are not linked (Kipf & Welling 2016)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Int

from manyviews.errors import DataError
from manyviews.source import Pairs
from manyviews_graphs.csr import CSR

MOST_TRAINING = 100_000
"""Edges left in the graph that are training pairs: as many as there are, and no more than this."""


def hold_out(
    csr: CSR, shares: Mapping[str, float], *, undirected: bool, seed: int, where: str
) -> tuple[Bool[np.ndarray, "edges"], Pairs]:
    """The edges that stay, and the pairs: of each split, edges (`same`) and as many pairs without one.

    An undirected edge is held out in both directions. Self-loops stay, and are no pairs.

    Args:
        csr: Each edge once.
        shares: Of `valid` and `test`.
        undirected: An edge and its reverse are one.
        seed: Of the draw.
        where: For messages.

    Raises:
        DataError: The shares are impossible, hold out no edge, or there are too few pairs without an edge.
    """
    _check(shares)
    nodes = csr.nodes
    target = np.repeat(np.arange(nodes), np.diff(csr.pointer))
    source = csr.source.astype(np.int64)
    edges = (source * nodes + target)[source < target if undirected else source != target]
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(edges))
    counts = {split: round(share * len(edges)) for split, share in shares.items()}
    empty = next((split for split, share in shares.items() if share > 0 and not counts[split]), None)
    if empty is not None:
        raise DataError(
            f"data.hold_out_edges: {shares[empty]} of {where}'s {len(edges)} edges is none for {empty}; hold out more"
        )
    counts["train"] = min(len(edges) - sum(counts.values()), MOST_TRAINING)
    ends = np.cumsum(list(counts.values()))
    drawn = {split: edges[order[end - counts[split] : end]] for split, end in zip(counts, ends, strict=True)}
    without = _unlinked(edges, nodes, int(ends[-1]), undirected, rng, where)
    out = np.concatenate([drawn[split] for split in shares])
    keys = np.minimum(source, target) * nodes + np.maximum(source, target) if undirected else source * nodes + target
    pairs = np.concatenate([*drawn.values(), without])
    splits = np.repeat(np.array([*counts, *counts]), [*counts.values(), *counts.values()])
    return ~np.isin(keys, out), Pairs("edge", pairs // nodes, pairs % nodes, np.arange(len(pairs)) < ends[-1], splits)


def _check(shares: Mapping[str, float]) -> None:
    unknown = sorted(set(shares) - {"valid", "test"})
    if unknown or not shares:
        raise DataError(f"data.hold_out_edges: {dict(shares)}; give shares of valid and test: {{valid: 0.05, test: 0.1}}")
    if any(share < 0 for share in shares.values()) or not 0 < sum(shares.values()) < 1:
        raise DataError(f"data.hold_out_edges: {dict(shares)}; shares must be 0 or more and add up to more than 0, less than 1")


def _unlinked(
    edges: Int[np.ndarray, "edges"], nodes: int, wanted: int, undirected: bool, rng: np.random.Generator, where: str
) -> Int[np.ndarray, "wanted"]:
    """Different pairs without an edge, uniformly drawn, in random order."""
    possible = nodes * (nodes - 1) // (2 if undirected else 1) - len(edges)
    if possible < wanted:
        raise DataError(f"data.hold_out_edges: {where} has {possible:,} pairs without an edge, and {wanted:,} are needed")
    linked = np.sort(edges)
    found = np.zeros(0, dtype=np.int64)
    while len(found) < wanted:
        left, right = rng.integers(nodes, size=(2, 2 * (wanted - len(found)) + 16))
        if undirected:
            left, right = np.minimum(left, right), np.maximum(left, right)
        keys = (left * nodes + right)[left != right]
        if len(linked):
            keys = keys[linked[np.searchsorted(linked, keys).clip(max=len(linked) - 1)] != keys]
        found = np.unique(np.concatenate([found, keys]))
    return rng.permutation(found)[:wanted]
