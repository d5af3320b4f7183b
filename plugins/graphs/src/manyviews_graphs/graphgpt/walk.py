"""A random walk over all edges of each graph, as short as nearly can be: the Eulerian path of GraphGPT (Zhao et al. 2024).

Each connected part is walked by a circuit of its own, some edges twice, from a random place; behind its last new edge the
walk is cut off. The parts of a graph follow one another in random order, by jumps. A seed is where its walk begins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from manyviews_graphs.graphgpt.circuits import follow
from manyviews_graphs.graphgpt.draws import Draws
from manyviews_graphs.graphgpt.repeats import repeats


@dataclass(frozen=True)
class Ends:
    """The edges of graphs that lie back to back, each once whatever its direction, none from a node to itself."""

    one: Int[np.ndarray, "edges"]
    two: Int[np.ndarray, "edges"]
    owners: Int[np.ndarray, "nodes"]
    """The graph of each node."""

    @property
    def nodes(self) -> int:
        return len(self.owners)


@dataclass(frozen=True)
class Walk:
    """The nodes visited, graph by graph."""

    node: Int[np.ndarray, "visits"]
    edge: Int[np.ndarray, "visits"]
    """The edge by which it is reached; -1: at the beginning, or by a jump."""
    new: Bool[np.ndarray, "visits"]
    """Whether that edge is walked for the first time."""


def walk(ends: Ends, draws: Draws, seeds: Int[np.ndarray, "graphs"] | None = None) -> Walk:
    """A random one.

    Args:
        ends: The edges.
        draws: Of each graph.
        seeds: The node at which each graph's walk begins; None: anywhere.
    """
    twice = repeats(ends.one, ends.two, ends.nodes)
    edges = np.concatenate([np.arange(len(ends.one)), twice])
    leaves = np.stack([ends.one[edges], ends.two[edges]], axis=1).ravel()
    names = _darts(ends, edges, leaves)
    first, begin = _parts(ends, leaves, names, draws, seeds)
    chance = np.stack([draws.uniform(names.owner, names.number, use) for use in range(3)])
    darts, part = _read_off(follow(ends.one[edges], ends.two[edges], chance), begin)
    walked = edges[darts // 2]
    new = _firsts(walked)
    kept = _until_the_last(new, part, len(begin))
    darts, part, walked, new = darts[kept], part[kept], walked[kept], new[kept]
    at = np.searchsorted(part, np.arange(len(begin)))  # before the steps of each part stands the node where it begins
    return Walk(np.insert(leaves[darts ^ 1], at, first), np.insert(walked, at, -1), np.insert(new, at, False))


@dataclass(frozen=True)
class _Names:
    """What each of many things is called: its graph, and a number within that."""

    owner: Int[np.ndarray, "things"]
    number: Int[np.ndarray, "things"]


def _darts(ends: Ends, edges: Int[np.ndarray, "walked"], leaves: Int[np.ndarray, "darts"]) -> _Names:
    """Darts by edge, by which time it is walked, and by side."""
    owner = ends.owners[ends.one]
    own = np.arange(len(owner)) - np.searchsorted(owner, owner)  # edges lie back to back, as graphs do
    again = np.arange(len(edges)) >= len(owner)
    number = 4 * own[edges] + 2 * again
    return _Names(ends.owners[leaves], np.stack([number, number + 1], axis=1).ravel())


def _parts(
    ends: Ends,
    leaves: Int[np.ndarray, "darts"],
    darts: _Names,
    draws: Draws,
    seeds: Int[np.ndarray, "graphs"] | None,
) -> tuple[Int[np.ndarray, "parts"], Int[np.ndarray, "parts"]]:
    """The connected parts in the order of the walk: the node where each begins, and a dart that leaves it (-1: none does)."""
    ones = np.ones(len(ends.one), dtype=np.int8)
    parts, part = connected_components(coo_array((ones, (ends.one, ends.two)), shape=(ends.nodes, ends.nodes)), directed=False)
    # Every dart is a place to begin at, and so is a node that none leaves.
    alone = np.flatnonzero(np.bincount(leaves, minlength=ends.nodes) == 0)
    node, dart = np.concatenate([leaves, alone]), np.concatenate([np.arange(len(leaves)), np.full(len(alone), -1)])
    chance = np.concatenate([draws.uniform(darts.owner, darts.number, 3), np.zeros(len(alone))])
    if seeds is not None:
        chance = np.where(np.isin(node, seeds), chance - 1, chance)
    begins = np.lexsort((chance, part[node]))
    begins = begins[np.searchsorted(part[node][begins], np.arange(parts))]
    owner = ends.owners[node[begins]]
    turn = draws.uniform(owner, node[begins] - np.searchsorted(ends.owners, owner), 4)
    if seeds is not None:
        turn = np.where(np.isin(node[begins], seeds), -1, turn)
    begins = begins[np.lexsort((turn, owner))]
    return node[begins], dart[begins]


def _read_off(
    following: Int[np.ndarray, "darts"], begin: Int[np.ndarray, "parts"]
) -> tuple[Int[np.ndarray, "steps"], Int[np.ndarray, "steps"]]:
    """The darts in the order they are walked, part by part, and the part of each."""
    after: list[int] = following.tolist()
    darts: list[int] = []
    lengths = []
    for start in begin.tolist():
        before, dart = len(darts), start
        while dart >= 0:
            darts.append(dart)
            dart = after[dart]
            if dart == start:
                break
        lengths.append(len(darts) - before)
    return np.array(darts, dtype=np.int64), np.repeat(np.arange(len(begin)), lengths)


def _firsts(walked: Int[np.ndarray, "steps"]) -> Bool[np.ndarray, "steps"]:
    """Where each edge comes for the first time."""
    new = np.zeros(len(walked), dtype=bool)
    new[np.unique(walked, return_index=True)[1]] = True
    return new


def _until_the_last(new: Bool[np.ndarray, "steps"], part: Int[np.ndarray, "steps"], parts: int) -> Bool[np.ndarray, "steps"]:
    """Steps up to the last new edge of their part."""
    last = np.full(parts, -1)
    last[part[new]] = np.flatnonzero(new)  # of several values for one place the last one stays
    return np.arange(len(new)) <= last[part]
