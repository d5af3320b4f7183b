"""Views of graphs that differ in edges, nodes and features: GRACE, BGRL, CCA-SSG, GCA and GraphCL draw theirs so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import torch
from jaxtyping import Bool
from pydantic import Field, PositiveInt
from torch import Tensor

from manyviews.errors import UserError
from manyviews.layout import Layout
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews.views.choose import ranks
from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.edges import Edges
from manyviews_graphs.views.adaptive import channel_chances, edge_chances
from manyviews_graphs.views.parts import with_edges, with_features, with_nodes
from manyviews_graphs.views.walk import walked

Share = Annotated[float, Field(ge=0, lt=1)]
Kept = Annotated[float, Field(gt=0, le=1)]
Chosen = Bool[Tensor, "samples"] | None
"""The samples to which something is done; None: all."""


class Augment(ViewGenerator):
    """Two or more views of each graph, each with some of its edges, feature channels or nodes.

    GRACE (Zhu et al. 2020), BGRL (Thakoor et al. 2022) and CCA-SSG (Zhang et al. 2021) drop edges and zero feature
    channels, GCA (Zhu et al. 2021) does so by importance, GraphCL (You et al. 2020) drops nodes or edges, masks the
    features of nodes or keeps a subgraph. What takes nodes away leaves views whose tokens are not aligned; a seed is
    never taken from its neighbourhood. Every share is one number for all views or a list of one for each.

    Args:
        views: Number of views.
        edge_drop: Chance of each edge to be dropped.
        feature_drop: Chance of each feature channel to be zero, at all nodes alike.
        attribute_drop: Share of each sample's nodes, rounded down, whose features are all zero.
        node_drop: Share of each sample's nodes, rounded down, that are taken away with their edges.
        subgraph: Share of each sample's nodes, rounded down, that a random walk gathers; the others are taken away. 1: all.
        symmetric: An edge and its reverse are dropped together; the papers draw for each.
        adaptive: GCA's chances: less for edges of nodes of high degree, and for channels that stand at such nodes.
        most: With `adaptive`, the highest chance of any edge or channel.
        one_of: To each sample of a view, one of the things with a share is done, drawn at random, as GraphCL does.
    """

    gives = frozenset({Trait.SEVERAL_VIEWS, Trait.ALIGNED_TOKENS})
    needs = frozenset({Trait.OWN_TOKENS})

    def __init__(
        self,
        *,
        views: Annotated[PositiveInt, Field(ge=2)] = 2,
        edge_drop: Share | tuple[Share, ...] = 0.2,
        feature_drop: Share | tuple[Share, ...] = 0.2,
        attribute_drop: Share | tuple[Share, ...] = 0.0,
        node_drop: Share | tuple[Share, ...] = 0.0,
        subgraph: Kept | tuple[Kept, ...] = 1.0,
        symmetric: bool = False,
        adaptive: bool = False,
        most: Annotated[float, Field(gt=0, le=1)] = 0.7,
        one_of: bool = False,
    ) -> None:
        super().__init__()
        given = {
            "edge_drop": edge_drop,
            "feature_drop": feature_drop,
            "attribute_drop": attribute_drop,
            "node_drop": node_drop,
            "subgraph": subgraph,
        }
        each = {name: _for_each_view(name, share, views) for name, share in given.items()}
        self.shares = [{name: shares[view] for name, shares in each.items()} for view in range(views)]
        self.symmetric, self.adaptive, self.most, self.one_of = symmetric, adaptive, most, one_of
        done = {name for shares in self.shares for name in _done(shares)}
        if not done:
            raise UserError(f"these views would all be the same; give one of {', '.join(given)} a share that changes something")
        if done & {"node_drop", "subgraph"}:
            self.gives = self.gives - {Trait.ALIGNED_TOKENS}

    def forward(self, batch: GraphBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        batches = [self._augmented(batch, shares, generator) for shares in self.shares]
        return tuple(View(part, self.cut(part)) for part in batches)

    def _augmented(self, batch: GraphBatch, shares: Mapping[str, float], generator: torch.Generator) -> GraphBatch:
        """Nodes first, since what is done to edges and features is done to those that are left."""
        chosen = self._chosen(batch, shares, generator)
        if "subgraph" in chosen:
            where = walked(batch, shares["subgraph"], generator)
            batch = with_nodes(batch, where | _others(batch, chosen["subgraph"]))
        if "node_drop" in chosen:
            dropped = _some_nodes(batch, shares["node_drop"], chosen["node_drop"], generator, spare_seeds=True)
            batch = with_nodes(batch, ~dropped)
        if "edge_drop" in chosen:
            batch = self._without_edges(batch, shares["edge_drop"], chosen["edge_drop"], generator)
        if "feature_drop" in chosen:
            batch = self._without_channels(batch, shares["feature_drop"], chosen["feature_drop"], generator)
        if "attribute_drop" in chosen:
            nodes = _some_nodes(batch, shares["attribute_drop"], chosen["attribute_drop"], generator)
            batch = with_features(batch, nodes, None)
        return batch

    def _chosen(self, batch: GraphBatch, shares: Mapping[str, float], generator: torch.Generator) -> dict[str, Chosen]:
        """What is done, and to which samples."""
        done = _done(shares)
        if not self.one_of or len(done) < 2:
            return dict.fromkeys(done)
        device = batch.lengths.tensor.device
        drawn = torch.randint(len(done), (len(batch),), generator=generator, device=device)
        return {name: drawn == number for number, name in enumerate(done)}

    def _without_edges(self, batch: GraphBatch, share: float, chosen: Chosen, generator: torch.Generator) -> GraphBatch:
        edges = batch.edges
        draws = torch.rand(len(edges), generator=generator, device=edges.source.device)
        if self.symmetric:
            draws = draws[undirected_numbers(edges)]
        kept = draws >= (edge_chances(edges, share, self.most) if self.adaptive else share)
        return with_edges(batch, kept | _others(batch, chosen)[edges.target])

    def _without_channels(self, batch: GraphBatch, share: float, chosen: Chosen, generator: torch.Generator) -> GraphBatch:
        draws = torch.rand(batch.x.shape[1], generator=generator, device=batch.x.device)
        kept = draws >= (channel_chances(batch, share, self.most) if self.adaptive else share)
        return with_features(batch, None if chosen is None else chosen[batch.lengths.owners()], kept)


def undirected_numbers(edges: Edges) -> Tensor:
    """A number for each edge, (edges,), the same for all edges between the same two nodes, below the number of edges."""
    key = torch.minimum(edges.source, edges.target) * edges.nodes + torch.maximum(edges.source, edges.target)
    key, order = key.sort()
    new = torch.cat([key.new_zeros(1, dtype=torch.bool), key.diff() != 0])[: len(key)]
    return torch.empty_like(order).scatter_(0, order, new.cumsum(0))


def _for_each_view(name: str, share: float | tuple[float, ...], views: int) -> tuple[float, ...]:
    if not isinstance(share, tuple):
        return (share,) * views
    if len(share) != views:
        raise UserError(
            f"{name}: {list(share)} is for {len(share)} views, and there are {views}; give a number, or one for each"
        )
    return share


def _done(shares: Mapping[str, float]) -> list[str]:
    """What is done in a view."""
    return [name for name, share in shares.items() if share != (1 if name == "subgraph" else 0)]


def _others(batch: GraphBatch, chosen: Chosen) -> Bool[Tensor, "nodes"]:
    """Nodes of the samples to which nothing is done."""
    if chosen is None:
        return torch.zeros(batch.lengths.total, dtype=torch.bool, device=batch.lengths.tensor.device)
    return ~chosen[batch.lengths.owners()]


def _some_nodes(
    batch: GraphBatch, share: float, chosen: Chosen, generator: torch.Generator, *, spare_seeds: bool = False
) -> Bool[Tensor, "nodes"]:
    """int(share * nodes) random nodes of each chosen sample."""
    lengths = batch.lengths
    owners, order = lengths.owners(), ranks(lengths, generator)
    if spare_seeds and batch.seeded:  # to the end of the order, and those behind it one place up
        seed = order[lengths.starts()][owners]
        order = torch.where(order == seed, lengths.tensor[owners] - 1, order - (order > seed).long())
    counts = (share * lengths.tensor.double()).long()
    counts = counts if chosen is None else counts * chosen
    return order < counts[owners]
