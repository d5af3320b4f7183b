"""Random walks on all graphs of a batch at once, for subgraphs as GraphCL samples them."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from manyviews.lengths import Lengths
from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.edges import Edges

PATIENCE, STEPS = 4, 256
"""Steps in all for each node that is wanted, and how many of them a single walker makes, one after the other."""


def walked(batch: GraphBatch, share: float, generator: torch.Generator) -> Bool[Tensor, "nodes"]:
    """The nodes that a random walk reaches first, up to `share` of each sample's and at least the one it starts at.

    A walk starts at a random node of a graph, at the seed of a neighbourhood, and goes on to a random neighbour (GraphCL,
    You et al. 2020). It makes four steps for each node that is wanted; where these are more
    than 256, several walkers set out from the same node and share them. Where they do not reach enough nodes (small
    components, long chains), the subgraph is smaller. Neighbours are those that a node hears from.
    """
    lengths = batch.lengths
    budget = PATIENCE * int(share * lengths.longest)
    steps = min(budget, STEPS)
    walkers = -(-budget // steps) if steps else 1
    starts = _starts(batch, generator)
    reached = first_visits(batch.edges, starts.repeat(walkers), steps, generator)
    wanted = (share * lengths.tensor.double()).long().clamp(min=1)
    return (reached <= steps) & (_places_by(reached, lengths, generator) < wanted[lengths.owners()])


def first_visits(edges: Edges, starts: Int[Tensor, "walkers"], steps: int, generator: torch.Generator) -> Int[Tensor, "nodes"]:
    """The step at which each node is first reached by any walker, 0 for starts, `steps + 1` where it is not reached.

    At each step a walker goes back along a random one of the edges into its node; where there is none it stays.
    """
    device = starts.device
    stay = torch.arange(edges.nodes, device=device)
    ways, behind = edges.in_degree.clamp(min=1), torch.cat([edges.source, stay])
    first = torch.where(edges.in_degree > 0, edges.pointer[:-1], len(edges) + stay)
    draws = torch.rand(steps, len(starts), generator=generator, device=device, dtype=torch.float64)
    path = [starts]
    for draw in draws:
        at = path[-1]
        path.append(behind[first[at] + (draw * ways[at]).long()])
    when = torch.arange(steps + 1, device=device).repeat_interleave(len(starts))
    never = when.new_full((edges.nodes,), steps + 1)
    return never.scatter_reduce(0, torch.cat(path), when, "amin")


def _starts(batch: GraphBatch, generator: torch.Generator) -> Int[Tensor, "samples"]:
    """A random node of each sample; the seed where it has one. A sample without nodes starts at a neighbour's, for nothing."""
    lengths = batch.lengths
    if batch.seeded:
        return lengths.starts()
    draws = torch.rand(len(lengths), generator=generator, device=lengths.tensor.device, dtype=torch.float64)
    return (lengths.starts() + (draws * lengths.tensor).long()).clamp(max=max(lengths.total - 1, 0))


def _places_by(reached: Int[Tensor, "nodes"], lengths: Lengths, generator: torch.Generator) -> Int[Tensor, "nodes"]:
    """Each node's place among those of its sample in order of visits, ties at random."""
    ties = torch.rand(lengths.total, generator=generator, device=reached.device, dtype=torch.float64)
    order = (reached + ties).argsort()
    order = order[lengths.owners()[order].argsort(stable=True)]
    return torch.empty_like(order).scatter_(0, order, lengths.places())
