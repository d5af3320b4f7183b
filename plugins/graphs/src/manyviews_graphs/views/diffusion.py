"""The graph, and the graph of its diffusion: the two views of MVGRL."""

from __future__ import annotations

import math
import weakref
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field, PositiveInt
from torch import Tensor

from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.edges import Edges

CELLS = 2**22
"""Numbers of the diffusion that are held at a time: 16 MB, a few times over."""


class Diffusion(ViewGenerator):
    """Each graph as it is, and with edges from the nodes that a diffusion brings most of (MVGRL, Hassani & Khasahmadi 2020).

    The diffusion is S = sum_k theta_k T^k with T = D^-1/2 (A + I) D^-1/2: personalised PageRank, theta_k = alpha
    (1 - alpha)^k, or the heat kernel, theta_k = e^-t t^k / k!. Of each node's row the `neighbours` largest entries beside
    its own become its edges (top-k sparsification, Klicpera et al. 2019); how large they are is not kept, since encoders
    weigh edges themselves, and features of edges are zero there. A single graph is diffused once and remembered; batches
    that change, at every step: for small graphs, not for neighbourhoods of thousands of nodes.

    Args:
        kind: `ppr`, personalised PageRank, or `heat`, the heat kernel.
        alpha: Chance of PageRank to start anew.
        time: How long heat flows.
        neighbours: Edges into each node.
        tolerance: Share of the diffusion that may be left out: later terms of the sum.
    """

    gives = frozenset({Trait.SEVERAL_VIEWS, Trait.ALIGNED_TOKENS})
    needs = frozenset({Trait.OWN_TOKENS})

    def __init__(
        self,
        *,
        kind: Literal["ppr", "heat"] = "ppr",
        alpha: Annotated[float, Field(gt=0, lt=1)] = 0.2,
        time: Annotated[float, Field(gt=0)] = 5.0,
        neighbours: PositiveInt = 64,
        tolerance: Annotated[float, Field(gt=0, lt=1)] = 1e-4,
    ) -> None:
        super().__init__()
        self.terms = pagerank_terms(alpha, tolerance) if kind == "ppr" else heat_terms(time, tolerance)
        self.neighbours = neighbours
        self._memory: tuple[weakref.ref[Edges], Edges] | None = None

    def forward(self, batch: GraphBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        edges = self._diffused(batch)
        edge_x = None if batch.edge_x is None else batch.edge_x.new_zeros(len(edges), batch.edge_x.shape[1])
        diffused = replace(batch, edges=edges, edge_x=edge_x)
        return View(batch, layout), View(diffused, self.cut(diffused))

    def _diffused(self, batch: GraphBatch) -> Edges:
        if self._memory is None or self._memory[0]() is not batch.edges:
            lengths = batch.lengths
            scope = Lengths.equal(1, lengths.total, lengths.tensor.device) if batch.seeded else lengths
            edges = strongest(batch.edges, scope, self.terms, self.neighbours)
            self._memory = weakref.ref(batch.edges), edges
        return self._memory[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_memory": None}


def pagerank_terms(alpha: float, tolerance: float) -> list[float]:
    """alpha (1 - alpha)^k until what follows adds up to `tolerance` at most."""
    number = math.ceil(math.log(tolerance) / math.log(1 - alpha))
    return [alpha * (1 - alpha) ** k for k in range(number)]


def heat_terms(time: float, tolerance: float) -> list[float]:
    """e^-t t^k / k! until what follows adds up to `tolerance` at most."""
    terms = [math.exp(-time)]
    while 1 - sum(terms) > tolerance:
        terms.append(terms[-1] * time / len(terms))
    return terms


def strongest(edges: Edges, lengths: Lengths, terms: list[float], neighbours: int) -> Edges:
    """Edges into each node from those of its graph with the largest entries in its row of the diffusion, if they have any."""
    width = max(min(CELLS // max(len(lengths) * lengths.longest, 1), lengths.longest), 1)
    matrix = transition(edges)
    sources, targets = [], []
    for first in range(0, lengths.longest, width):
        flow = diffuse(matrix, _start(lengths, first, width), terms)
        source, target = _largest(flow, lengths, first, neighbours)
        sources.append(source)
        targets.append(target)
    return Edges.of(torch.cat(sources), torch.cat(targets), edges.nodes)


def transition(edges: Edges) -> Float[Tensor, "nodes nodes"]:
    """T transposed, sparse: row i says where what node i receives comes from, read from i outwards."""
    looped = edges.looped
    degree_in, degree_out = looped.in_degree.float(), looped.out_degree.float()
    order = looped.by_source
    source, target = looped.source[order], looped.target[order]
    weights = (degree_in[target] * degree_out[source]).rsqrt()
    pointer = torch.cat([looped.pointer[:1], looped.out_degree.cumsum(0)])
    return torch.sparse_csr_tensor(pointer, target, weights, (edges.nodes, edges.nodes), check_invariants=False)


def diffuse(
    matrix: Float[Tensor, "nodes nodes"], start: Float[Tensor, "nodes columns"], terms: list[float]
) -> Float[Tensor, "nodes columns"]:
    """sum_k terms[k] matrix^k start."""
    flow = terms[0] * start
    for term in terms[1:]:
        start = matrix @ start
        flow += term * start
    return flow


def _start(lengths: Lengths, first: int, width: int) -> Float[Tensor, "nodes columns"]:
    """Column j starts at each sample's node `first + j`; the samples share columns, since nothing flows between them."""
    places = lengths.places() - first
    return (places[:, None] == torch.arange(width, device=places.device)).float()


def _largest(
    flow: Float[Tensor, "nodes columns"], lengths: Lengths, first: int, neighbours: int
) -> tuple[Int[Tensor, "edges"], Int[Tensor, "edges"]]:
    """For each sample and column the nodes with the largest entries above 0, and the node that the column is."""
    own = lengths.places()[:, None] == first + torch.arange(flow.shape[1], device=flow.device)
    each = lengths.pad(flow.masked_fill(own, 0.0))
    values, places = each.topk(min(neighbours, lengths.longest), dim=1)
    sample, rank, column = (values > 0).nonzero(as_tuple=True)
    starts = lengths.starts()[sample]
    return starts + places[sample, rank, column], starts + first + column
