"""What of a batch messages go along: its edges, with or without self-loops, and their features where layers read them."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.edges import Edges


@dataclass(frozen=True)
class Passage:
    """An encoder's way through a graph, which its decoder shares."""

    self_loops: bool
    """Exactly one at each node, in place of those that are there; no layer reads both these and features of edges."""
    edge_features: bool = False

    def edges(self, batch: GraphBatch) -> Edges:
        """The edges that messages go along."""
        return batch.edges.looped if self.self_loops else batch.edges

    def edge_x(self, batch: GraphBatch) -> Float[Tensor, "edges channels"] | None:
        """Features of these edges."""
        return batch.edge_x if self.edge_features else None
