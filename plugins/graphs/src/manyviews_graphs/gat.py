"""The encoder `graphs/gat`: graph attention, with everything that GraphMAE sets."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeFloat, PositiveInt

from manyviews.errors import UserError
from manyviews_graphs.encoder import Pool, Probability
from manyviews_graphs.gnn import GNN
from manyviews_graphs.nets.activation import Activation, Norm
from manyviews_graphs.nets.conv import Conv
from manyviews_graphs.nets.gat import GATConv
from manyviews_graphs.nets.stack import Layer, Stack, Style
from manyviews_graphs.passing import Passing
from manyviews_graphs.spec import GraphSpec


class GAT(GNN):
    """Graph attention network (Velickovic et al. 2018), by default as in GraphMAE (Hou et al. 2022). Reads no edge features.

    Args:
        width: Width of a node; heads that are concatenated share it.
        layers: Rounds of message passing.
        heads: Attention heads.
        last_heads: Heads of the last layer: one behind another (`concat`), or their `mean`, each of the whole width.
        activation: After each layer, the last too.
        norm: After each layer, before its activation.
        dropout: Of what each layer reads, the features themselves included; its decoder's layers too.
        attention_dropout: Of attention weights.
        slope: Of LeakyReLU below 0, in the attention.
        residual: Adds to each layer's output what it read, through a linear map where widths differ.
        self_loops: Each node attends to itself; loops in the data are replaced.
        pool: A graph's vector from its nodes'.
    """

    def __init__(
        self,
        spec: GraphSpec,
        /,
        *,
        width: PositiveInt = 256,
        layers: PositiveInt = 2,
        heads: PositiveInt = 4,
        last_heads: Literal["concat", "mean"] = "concat",
        activation: Activation = "prelu",
        norm: Norm = "none",
        dropout: Probability = 0.2,
        attention_dropout: Probability = 0.1,
        slope: NonNegativeFloat = 0.2,
        residual: bool = False,
        self_loops: bool = True,
        pool: Pool = "mean",
    ) -> None:
        super().__init__(spec, width, pool, Style(activation, norm, dropout, residual))
        self.heads, self.slope, self.attention_dropout = heads, slope, attention_dropout
        self._check(width, heads, alone=layers == 1 and last_heads == "mean")
        first = [self.make_layer(channels, width) for channels in [spec.channels, *[width] * (layers - 2)][: layers - 1]]
        channels = width if first else spec.channels
        last = self._conv(channels, width, heads, concat=last_heads == "concat")
        self.trunk = Passing(Stack([*first, Layer(last, channels, width, self.style)]), self_loops=self_loops)

    def make_conv(self, channels: int, hidden: int, out: int, heads: int | None) -> Conv:
        self._check(out, heads or self.heads)
        return self._conv(channels, out, heads or self.heads, concat=True)

    def _conv(self, channels: int, out: int, heads: int, *, concat: bool) -> Conv:
        return GATConv(channels, out, heads, concat=concat, slope=self.slope, dropout=self.attention_dropout)

    @staticmethod
    def _check(width: int, heads: int, *, alone: bool = False) -> None:
        if width % heads and not alone:
            raise UserError(f"width {width} does not divide by {heads} heads; choose a width that is a multiple of `heads`")
