"""Neighbour sampling (GraphSAGE, Hamilton et al. 2017, algorithm 2) on CSR, for graphs too large to be one batch.

From each seed so many random in-neighbours, from each of these again: hop after hop, all nodes of a hop at once. A
node is sampled once, when it is first reached, so no edge comes twice, and a node that several seeds reach stands
once, with the one that reached it in fewest hops, the earliest of those in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from manyviews_graphs.csr import CSR

ALL = -1
"""As a fan-out: every neighbour."""


@dataclass(frozen=True)
class Neighbourhood:
    """A part of a graph around seeds: nodes by the seed that reached them first, each seed before its nodes."""

    nodes: Int[np.ndarray, "nodes"]
    """Their numbers in the whole graph."""
    lengths: Int[np.ndarray, "seeds"]
    """Nodes of each seed, itself among them."""
    source: Int[np.ndarray, "edges"]
    """Places in `nodes`; sorted by target, then source, as `Edges` holds them."""
    target: Int[np.ndarray, "edges"]
    edges: Int[np.ndarray, "edges"]
    """Their places in the CSR, for what belongs to edges."""


@dataclass(frozen=True)
class _Hop:
    """The edges drawn at one hop; places are in order of discovery."""

    source: Int[np.ndarray, "edges"]
    target: Int[np.ndarray, "edges"]
    edges: Int[np.ndarray, "edges"]


def sample(csr: CSR, seeds: Int[np.ndarray, "seeds"], neighbours: Sequence[int], rng: np.random.Generator) -> Neighbourhood:
    """The seeds, at most `neighbours[0]` in-neighbours of each, at most `neighbours[1]` of each of these, and so on.

    Args:
        csr: The whole graph.
        seeds: Different nodes: since each stands once, a seed given twice would have no place for its second sample.
        neighbours: Fan-out of each hop; `ALL` (-1) takes every neighbour.
        rng: A node's neighbours are a uniformly random set of that size, without replacement.

    Raises:
        ValueError: A seed is not in the graph or comes twice, or a fan-out is 0 or below -1.
    """
    _check(csr, seeds, neighbours)
    nodes, owners = [seeds.astype(np.int64)], [np.arange(len(seeds))]
    hops, found = [], len(seeds)
    with csr.scratch() as place:
        place[seeds] = np.arange(len(seeds))
        for fan_out in neighbours:
            counts, edges = draw(csr.pointer, nodes[-1], fan_out, rng)
            reached = csr.source[edges]
            began = found - len(nodes[-1])
            new, first = _enter(reached, place, found)
            by = np.repeat(np.arange(len(nodes[-1])), counts)
            hops.append(_Hop(place[reached], by + began, edges))
            nodes.append(new)
            owners.append(owners[-1][by[first]])
            found += len(new)
        every = np.concatenate(nodes)
        place[every] = -1
    return _grouped(every, np.concatenate(owners), hops, len(seeds))


def draw(
    pointer: Int[np.ndarray, "nodes_and_one"], frontier: Int[np.ndarray, "frontier"], fan_out: int, rng: np.random.Generator
) -> tuple[Int[np.ndarray, "frontier"], Int[np.ndarray, "drawn"]]:
    """For each node of the frontier how many of its edges are drawn, and which, node after node."""
    begins = pointer[frontier]
    degrees = pointer[frontier + 1] - begins
    counts = degrees if fan_out == ALL else np.minimum(degrees, fan_out)
    ends = np.cumsum(counts)
    edges = np.arange(ends[-1] if len(ends) else 0) + np.repeat(begins - (ends - counts), counts)  # the first ones of each node
    many = np.flatnonzero(degrees > counts)
    if len(many):
        where = (ends - counts)[many] + np.arange(fan_out)[:, None]
        edges[where] = begins[many] + subsets(degrees[many], rng.random((fan_out, len(many))))
    return counts, edges


def subsets(sizes: Int[np.ndarray, "sets"], uniform: Float[np.ndarray, "chosen sets"]) -> Int[np.ndarray, "chosen sets"]:
    """Of each set {0 … size - 1} a uniformly random subset of `chosen` < size elements.

    Floyd's algorithm (Bentley & Floyd 1987), for all sets at once: whatever a node's degree, it costs `chosen` draws.
    """
    chosen = len(uniform)
    last = sizes - chosen + np.arange(chosen)[:, None]
    picked = (uniform * (last + 1)).astype(np.int64)  # below last + 1, since uniform < 1 in float64
    for j in range(1, chosen):
        taken = (picked[:j] == picked[j]).any(0)
        picked[j, taken] = last[j, taken]
    return picked


def _enter(
    reached: Int[np.ndarray, "edges"], place: Int[np.ndarray, "all_nodes"], found: int
) -> tuple[Int[np.ndarray, "new"], Int[np.ndarray, "new"]]:
    """Give nodes without a place the next ones, in order of appearance: these nodes, and the edge that first reached each."""
    unseen = np.flatnonzero(place[reached] < 0)
    candidates = reached[unseen]
    here = np.arange(len(unseen), dtype=place.dtype)
    place[candidates[::-1]] = here[::-1]  # where a node comes again, the last assignment holds: that of its first appearance
    first = place[candidates] == here
    new = candidates[first]
    place[new] = np.arange(found, found + len(new))
    return new.astype(np.int64), unseen[first]


def _grouped(
    nodes: Int[np.ndarray, "nodes"], owners: Int[np.ndarray, "nodes"], hops: Sequence[_Hop], seeds: int
) -> Neighbourhood:
    """From order of discovery to nodes by seed, edges by target and source."""
    order = np.argsort(owners, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    source = rank[np.concatenate([hop.source for hop in hops])]
    target = rank[np.concatenate([hop.target for hop in hops])]
    edges = np.concatenate([hop.edges for hop in hops])
    by_target = np.argsort(target * len(nodes) + source, kind="stable")
    lengths = np.bincount(owners, minlength=seeds)
    return Neighbourhood(nodes[order], lengths, source[by_target], target[by_target], edges[by_target])


def _check(csr: CSR, seeds: Int[np.ndarray, "seeds"], neighbours: Sequence[int]) -> None:
    if not neighbours or any(fan_out < ALL or fan_out == 0 for fan_out in neighbours):
        raise ValueError(f"neighbours: {list(neighbours)} should be one fan-out a hop, each 1 or more, or -1 for all")
    if len(seeds) and (seeds.min() < 0 or seeds.max() >= csr.nodes):
        wrong = seeds[(seeds < 0) | (seeds >= csr.nodes)][0]
        raise ValueError(f"seed {wrong} is not among the graph's {csr.nodes} nodes")
    values, counts = np.unique(seeds, return_counts=True)
    if len(values) < len(seeds):
        raise ValueError(f"seed {values[counts > 1][0]} comes twice; a node has one place in a batch")
