"""Which nodes a layer reads and which it answers for.

A last encoder layer need not answer for withheld nodes, and a decoder reads only shown nodes and answers only for those
asked: on a CPU the edges that do not matter are left out, which halves that layer's work. On an accelerator, where to
count them would make the host wait, all edges stay and the wanted nodes are picked from the sums.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from manyviews_graphs.edges import Edges
from manyviews_graphs.nets.links import Links
from manyviews_graphs.nets.sums import weighted_sum

ROUND = 64
"""Targets that receive anything are counted up to a multiple of this."""


@dataclass(frozen=True)
class Hop:
    """Messages along `links`: sources are nodes of the graph by number, targets those in `at`."""

    edges: Edges
    """All of the graph."""
    links: Links
    edge_x: Float[Tensor, "edges channels"] | None = None
    """Features of all edges of the graph."""
    numbers: Int[Tensor, "links"] | None = None
    """The edges that the links are; None: all, in order."""
    at: Int[Tensor, "targets"] | None = None
    """The nodes that the targets are; None: all, in order."""
    pick: Int[Tensor, "wanted"] | None = None
    """Which targets are wanted; None: all."""
    present: Int[Tensor, "present"] | None = None
    """The nodes that have features: the rows of what the layer reads. All numbers of the others are zero. None: all have."""

    @classmethod
    def over(
        cls, edges: Edges, wanted: Int[Tensor, "wanted"] | None = None, edge_x: Float[Tensor, "edges channels"] | None = None
    ) -> Hop:
        """Along these edges, from all nodes to the nodes `wanted` (ascending; None: all)."""
        if wanted is None:
            return cls(edges, edges.links, edge_x=edge_x)
        if _waits(edges):
            return cls(edges, edges.links, edge_x=edge_x, pick=wanted)
        target = _places(wanted, edges.nodes)[edges.target]
        numbers = (target >= 0).nonzero().squeeze(1)
        links = Links(edges.source[numbers], target[numbers], edges.nodes, len(wanted))
        return cls(edges, links, edge_x, numbers, at=wanted)

    def among(
        self, x: Float[Tensor, "present channels"], present: Int[Tensor, "present"]
    ) -> tuple[Float[Tensor, "rows channels"], Hop]:
        """The same where only the nodes `present` have features, `x`; and the rows that a layer is to read then."""
        hop = replace(self, present=present)
        return (hop.spread(x), self) if _waits(self.edges) else (x, hop)

    @property
    def wanted(self) -> int:
        """How many nodes the layer answers for."""
        return self.links.targets if self.pick is None else len(self.pick)

    def spread(self, x: Float[Tensor, "present channels"]) -> Float[Tensor, "nodes channels"]:
        """One row for each node of the graph, zeros where a node has no features."""
        if self.present is None:
            return x
        return x.new_zeros(self.edges.nodes, x.shape[1]).index_copy(0, self.present, x)

    def own(self, x: Float[Tensor, "present channels"]) -> Float[Tensor, "wanted channels"]:
        """What the wanted nodes themselves hold."""
        x = self.spread(x)
        return self.picked(x if self.at is None else x[self.at])

    def picked(self, received: Float[Tensor, "targets *channels"]) -> Float[Tensor, "wanted *channels"]:
        """Of what all targets received, what is wanted."""
        return received if self.pick is None else received[self.pick]

    def sums(
        self,
        sent: Float[Tensor, "present *heads channels"],
        weights: Float[Tensor, "links heads"],
        behind: Callable[[Tensor], Tensor] | None = None,
    ) -> Float[Tensor, "wanted heads out"]:
        """What the wanted nodes receive: sums of what is sent, weighted link by link.

        Args:
            sent: By the nodes that have features: one thing for each head, or one for all.
            weights: Of all links; those of links from other nodes play no part.
            behind: A linear map of the sums. It is spared nodes that receive nothing.
        """
        carrying = self.carrying
        weights = weights if carrying.numbers is None else weights[carrying.numbers]
        received = self.picked(weighted_sum(sent, weights, carrying.links))
        if behind is not None:
            received = behind(received)
        if carrying.reached is None:
            return received
        return received.new_zeros(self.wanted, *received.shape[1:]).index_copy(0, carrying.reached, received)

    @cached_property
    def carrying(self) -> Carrying:
        """The links from nodes with features."""
        if self.present is None:
            return Carrying(self.links, None, None)
        source = _places(self.present, self.edges.nodes)[self.links.source]
        numbers = (source >= 0).nonzero().squeeze(1)
        target = self.links.target[numbers]
        reached = _reached(target, self.links.targets)
        links = Links(source[numbers], _places(reached, self.links.targets)[target], len(self.present), len(reached))
        return Carrying(links, numbers, reached)


@dataclass(frozen=True)
class Carrying:
    """The links from nodes with features to those that they reach."""

    links: Links
    """Sources are numbered as the rows that a layer reads, targets as `reached`."""
    numbers: Int[Tensor, "links"] | None
    """Which of the hop's links they are; None: all."""
    reached: Int[Tensor, "reached"] | None
    """Which of the hop's targets, in this order; None: all."""


def _reached(target: Int[Tensor, "links"], targets: int) -> Int[Tensor, "reached"]:
    """Targets with a link, in their order, and behind them a few without: so few sizes come, for which oneDNN keeps kernels."""
    linked = torch.zeros(targets, dtype=torch.bool, device=target.device).index_fill(0, target, True)
    with_links = linked.nonzero().squeeze(1)
    size = -(-len(with_links) // ROUND) * ROUND
    return torch.cat([with_links, (~linked).nonzero().squeeze(1)])[:size]


def _waits(edges: Edges) -> bool:
    """Whether to count edges would make the host wait."""
    return edges.source.device.type != "cpu"


def _places(some: Int[Tensor, "some"], nodes: int) -> Int[Tensor, "nodes"]:
    """Where each node stands in the list; -1 where it does not."""
    places = some.new_full((nodes,), -1)
    return places.index_copy(0, some, torch.arange(len(some), device=some.device))
