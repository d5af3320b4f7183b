"""EdgeMask: were these two nodes connected? (Jin et al. 2020, section 3.1.1) The edges asked for are taken away first."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from manyviews.lengths import Lengths
from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.edges import Edges
from manyviews_graphs.pretexts.question import EdgeQuestion
from manyviews_graphs.views.augment import undirected_numbers
from manyviews_graphs.views.parts import with_edges

TRIES = 8
"""Draws for each pair without an edge; in a graph where almost all nodes are connected some pairs find none."""


def mask_edges(batch: GraphBatch, scope: Lengths, share: float, generator: torch.Generator) -> tuple[GraphBatch, EdgeQuestion]:
    """Take edges away, both directions, and ask for them and for as many pairs of nodes without one.

    Args:
        batch: Graphs.
        scope: Nodes among which pairs are drawn, group by group.
        share: Of the connected pairs; at least one is taken.
        generator: Draws.
    """
    edges = batch.edges
    numbers = undirected_numbers(edges)
    pairs = _first_of_each(numbers, edges.source != edges.target)
    chosen = pairs[torch.randperm(len(pairs), generator=generator, device=pairs.device)[: max(1, round(share * len(pairs)))]]
    taken = torch.zeros_like(numbers, dtype=torch.bool)
    taken[numbers[chosen]] = True
    one, two = edges.source[chosen], edges.target[chosen]
    other_one, other_two, found = unconnected(edges, scope, scope.owners()[one], generator)
    question = EdgeQuestion(
        torch.cat([one, other_one]),
        torch.cat([two, other_two]),
        torch.cat([torch.ones_like(one), torch.zeros_like(one)]),
        torch.cat([torch.ones_like(found), found]),
    )
    return with_edges(batch, ~taken[numbers]), question


def unconnected(
    edges: Edges, scope: Lengths, groups: Int[Tensor, "wanted"], generator: torch.Generator
) -> tuple[Int[Tensor, "wanted"], Int[Tensor, "wanted"], Bool[Tensor, "wanted"]]:
    """A random pair of different nodes without an edge in each of these groups of `scope`, and whether one was found."""
    sizes, starts = scope.tensor[groups, None, None], scope.starts()[groups, None, None]
    draws = torch.rand(len(groups), TRIES, 2, generator=generator, device=groups.device, dtype=torch.float64)
    one, two = (starts + (draws * sizes).long().clamp(max=sizes - 1)).unbind(-1)
    free = (one != two) & ~connected(edges, one, two) & ~connected(edges, two, one)
    first = free.long().argmax(1, keepdim=True)
    return one.gather(1, first).squeeze(1), two.gather(1, first).squeeze(1), free.any(1)


def connected(edges: Edges, source: Int[Tensor, "*pairs"], target: Int[Tensor, "*pairs"]) -> Bool[Tensor, "*pairs"]:
    """Whether there is an edge from one to the other."""
    if not len(edges):
        return torch.zeros_like(source, dtype=torch.bool)
    keys = edges.target * edges.nodes + edges.source  # ascending, by the order that edges are kept in
    wanted = target * edges.nodes + source
    return keys[torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)] == wanted


def _first_of_each(numbers: Int[Tensor, "edges"], where: Bool[Tensor, "edges"]) -> Int[Tensor, "pairs"]:
    """One edge, among those chosen, of each number: of each connected pair."""
    places = torch.arange(len(numbers), device=numbers.device)
    first = torch.zeros_like(numbers).scatter_reduce(0, numbers, places, "amin", include_self=False)
    return (where & (first[numbers] == places)).nonzero().squeeze(1)
