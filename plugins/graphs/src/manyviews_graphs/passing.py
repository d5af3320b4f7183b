"""Message passing over a batch: layers, and what of the batch they go along; an encoder's trunk and its decoder's."""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.nets.rows import Nodes
from manyviews_graphs.nets.stack import Stack


class Passing(nn.Module):
    """Layers over the edges of a batch.

    Args:
        stack: The layers.
        self_loops: Exactly one at each node, in place of those that are there; not together with `edge_features`.
        edge_features: The layers read features of edges.
    """

    def __init__(self, stack: Stack, *, self_loops: bool, edge_features: bool = False) -> None:
        super().__init__()
        self.stack, self.self_loops, self.edge_features = stack, self_loops, edge_features

    def forward(
        self, x: Nodes, batch: GraphBatch, wanted: Int[Tensor, "wanted"] | None, present: Int[Tensor, "present"] | None = None
    ) -> Float[Tensor, "wanted out"]:
        """What the layers give for the nodes `wanted`; see `Stack`."""
        edges = batch.edges.looped if self.self_loops else batch.edges
        return self.stack(x, edges, batch.edge_x if self.edge_features else None, wanted, present)
