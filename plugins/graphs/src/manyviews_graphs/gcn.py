"""The encoder `graphs/gcn`: graph convolutions, as DGI, GRACE, BGRL and CCA-SSG use them."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from pydantic import PositiveInt

from manyviews_graphs.encoder import Pool, Probability
from manyviews_graphs.gnn import GNN
from manyviews_graphs.nets.activation import Activation, Norm
from manyviews_graphs.nets.conv import Conv
from manyviews_graphs.nets.gcn import GCNConv
from manyviews_graphs.nets.stack import Layer, Stack, Style
from manyviews_graphs.passing import Passing
from manyviews_graphs.spec import GraphSpec


class GCN(GNN):
    """Graph convolutional network (Kipf & Welling 2017). Reads no edge features.

    Edges weigh by the degrees of their ends. In sampled neighbourhoods these are the degrees there: a node at the rim has
    fewer than in the whole graph, so that embeddings differ a little from the whole graph's (as with PyG's loaders).

    Args:
        width: Width of a node.
        hidden: Width between the layers; null: as `width`.
        layers: Rounds of message passing.
        activation: After each layer.
        last_activation: Norm and activation after the last layer too.
        norm: After each layer, before its activation.
        dropout: Of what each layer reads, the features themselves included.
        residual: Adds to each layer's output what it read, through a linear map where widths differ.
        self_loops: Each node counts among its neighbours; loops in the data are replaced.
        pool: A graph's vector from its nodes'.
    """

    def __init__(
        self,
        spec: GraphSpec,
        /,
        *,
        width: PositiveInt = 256,
        hidden: PositiveInt | None = None,
        layers: PositiveInt = 2,
        activation: Activation = "prelu",
        last_activation: bool = True,
        norm: Norm = "none",
        dropout: Probability = 0.0,
        residual: bool = False,
        self_loops: bool = True,
        pool: Pool = "mean",
    ) -> None:
        super().__init__(spec, width, pool, Style(activation, norm, dropout, residual))
        sizes = [spec.channels, *[hidden or width] * (layers - 1), width]
        made = [self.make_layer(one, two) for one, two in pairwise(sizes[:-1])]
        style = self.style if last_activation else replace(self.style, activation="none", norm="none")
        made.append(Layer(self.make_conv(sizes[-2], width, width, None), sizes[-2], width, style))
        self.trunk = Passing(Stack(made), self_loops=self_loops)

    def make_conv(self, channels: int, hidden: int, out: int, heads: int | None) -> Conv:
        return GCNConv(channels, out)
