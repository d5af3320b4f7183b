"""The encoder `graphs/gin`: graph isomorphism networks, for graphs as samples."""

from __future__ import annotations

from jaxtyping import Float, Int
from pydantic import PositiveInt
from torch import Tensor, nn

from manyviews.errors import UserError
from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.encoder import Pool, Probability
from manyviews_graphs.gnn import GNN
from manyviews_graphs.nets.activation import Activation, Norm
from manyviews_graphs.nets.conv import Conv
from manyviews_graphs.nets.gin import GINConv, GINEConv
from manyviews_graphs.nets.rows import Nodes, times
from manyviews_graphs.nets.stack import Stack, Style
from manyviews_graphs.passing import Passing
from manyviews_graphs.spec import GraphSpec


class GIN(GNN):
    """Graph isomorphism network (Xu et al. 2019); with features of edges, GINE (Hu et al. 2020).

    Args:
        width: Width of a node, and within the layers' MLPs.
        layers: Rounds of message passing.
        activation: Within each layer's MLP and after it.
        norm: Within each layer's MLP and after it, before the activation.
        dropout: Of what each layer reads, the features themselves included.
        residual: Adds to each layer's output what it read, through a linear map where widths differ.
        learn_eps: Learns how much more a node counts than its neighbours.
        edge_features: Reads features of edges, where the data have them: nodes are first mapped to `width`.
        self_loops: Puts a self-loop at each node, so that it counts twice: as GraphMAE's code does, and not its paper. Only
            where features of edges are not read.
        pool: A graph's vector from its nodes'.
    """

    def __init__(
        self,
        spec: GraphSpec,
        /,
        *,
        width: PositiveInt = 64,
        layers: PositiveInt = 3,
        activation: Activation = "prelu",
        norm: Norm = "batch",
        dropout: Probability = 0.0,
        residual: bool = False,
        learn_eps: bool = False,
        edge_features: bool = True,
        self_loops: bool = False,
        pool: Pool = "sum",
    ) -> None:
        super().__init__(spec, width, pool, Style(activation, norm, dropout, residual))
        self.learn_eps = learn_eps
        self.edge_channels = spec.edge_channels if edge_features else 0
        if self_loops and self.edge_channels:
            raise UserError(
                "encoder: a self-loop has no features, and these graphs have features of edges\n"
                "set `edge_features: false` to leave these out, or `self_loops: false`"
            )
        self.inwards = nn.Linear(spec.channels, width) if self.edge_channels else None
        channels = width if self.inwards else spec.channels
        made = [self.make_layer(one, width) for one in [channels, *[width] * (layers - 1)]]
        self.trunk = Passing(Stack(made), self_loops=self_loops, edge_features=bool(self.edge_channels))

    def make_conv(self, channels: int, hidden: int, out: int, heads: int | None) -> Conv:
        activation, norm = self.style.activation, self.style.norm
        if self.edge_channels:
            edges = self.edge_channels
            return GINEConv(channels, hidden, out, edges, activation=activation, norm=norm, learn_eps=self.learn_eps)
        return GINConv(channels, hidden, out, activation=activation, norm=norm, learn_eps=self.learn_eps)

    def encode(self, x: Nodes, batch: GraphBatch, wanted: Int[Tensor, "wanted"] | None) -> Float[Tensor, "wanted width"]:
        if self.inwards is not None:
            x = times(x, self.inwards.weight.t()) + self.inwards.bias
        return super().encode(x, batch, wanted)
