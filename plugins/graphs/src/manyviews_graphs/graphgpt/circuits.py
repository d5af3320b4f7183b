"""Random Eulerian circuits through many graphs at once.

Every edge has two darts, one leaving each end. At each node the darts are paired at random: who comes in by one goes out
by its partner. That splits the edges into closed trails. Where two trails meet in a node, exchanging partners makes one
of them; a random spanning forest of such meetings leaves one trail for each connected part (Hierholzer's theorem, in the
form that parallel algorithms use). All of it is sorting and connected components; only to read a trail off, edge by edge,
is a loop.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree


def follow(
    one: Int[np.ndarray, "edges"], two: Int[np.ndarray, "edges"], chance: Float[np.ndarray, "three darts"]
) -> Int[np.ndarray, "darts"]:
    """For each dart the next one of a circuit; dart 2e leaves edge e's first end, 2e + 1 its second.

    Walking `next[dart]` from any dart goes along every edge of its connected part once and comes back.

    Args:
        one: First end of each edge; an edge may come several times. Every node has an even number of ends.
        two: Second end.
        chance: Three random numbers of each dart: for pairs, for where trails meet, and for which meetings join them.
    """
    leaves = np.stack([one, two], axis=1).ravel()
    pairs = np.lexsort((chance[0], leaves)).reshape(-1, 2)
    partner = _partners(pairs, _chosen(pairs, leaves[pairs[:, 0]], chance[1:, pairs[:, 0]]))
    return partner[np.arange(len(leaves)) ^ 1]


def _chosen(
    pairs: Int[np.ndarray, "pairs two"], node: Int[np.ndarray, "pairs"], chance: Float[np.ndarray, "two pairs"]
) -> Bool[np.ndarray, "pairs"]:
    """Which pairs exchange partners with the next pair, which is one of the same node."""
    trail = _trails(pairs)
    meets = np.flatnonzero((node[:-1] == node[1:]) & (trail[:-1] != trail[1:]))
    chosen = np.zeros(len(pairs), dtype=bool)
    if not len(meets):
        return chosen
    meets = meets[np.argsort(chance[0, meets])]
    low, high = np.sort(np.stack([trail[meets], trail[meets + 1]]), axis=0)
    trails = int(trail.max()) + 1
    _, first = np.unique(low * trails + high, return_index=True)  # one meeting of each two trails
    low, high, meets = low[first], high[first], meets[first]
    order = np.argsort(chance[1, meets])
    turns = np.arange(1.0, len(meets) + 1)
    forest = minimum_spanning_tree(csr_array(coo_array((turns, (low[order], high[order])), shape=(trails, trails))))
    chosen[meets[order][forest.data.astype(np.int64) - 1]] = True
    return chosen


def _trails(pairs: Int[np.ndarray, "pairs two"]) -> Int[np.ndarray, "pairs"]:
    """The closed trail that each pair of darts is part of."""
    edges = len(pairs)
    ones = np.ones(edges, dtype=np.int8)
    meeting = coo_array((ones, (pairs[:, 0] // 2, pairs[:, 1] // 2)), shape=(edges, edges))
    _, trail = connected_components(meeting, directed=False)
    return trail[pairs[:, 0] // 2].astype(np.int64)


def _partners(pairs: Int[np.ndarray, "pairs two"], chosen: Bool[np.ndarray, "pairs"]) -> Int[np.ndarray, "darts"]:
    """Partners after the exchange: in a run of pairs, second darts meet the first ones of the next pair, round and round."""
    place = np.arange(len(pairs))
    begins = np.concatenate([[True], ~chosen])[:-1] if len(pairs) else np.zeros(0, dtype=bool)
    start = np.maximum.accumulate(np.where(begins, place, 0))
    toward = np.where(chosen, place + 1, start)
    partner = np.empty(2 * len(pairs), dtype=np.int64)
    partner[pairs[:, 1]] = pairs[toward, 0]
    partner[pairs[toward, 0]] = pairs[:, 1]
    return partner
