"""The encoder `graphs/transformer`: a graph transformer with positional encodings, and its decoder of the same layers."""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import PositiveInt
from torch import Tensor, nn

from manyviews.decoder import Decoder
from manyviews.errors import UserError
from manyviews.lengths import Lengths
from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.decoder import GraphDecoder, NodeReadout
from manyviews_graphs.encoder import GraphEncoder, Pool, Probability
from manyviews_graphs.nets.conv import Conv
from manyviews_graphs.nets.gcn import GCNConv
from manyviews_graphs.nets.gin import GINConv, GINEConv
from manyviews_graphs.nets.gps import GPSLayer
from manyviews_graphs.nets.hop import Hop
from manyviews_graphs.nets.rows import Nodes, times
from manyviews_graphs.spec import GraphSpec

Local = Literal["gin", "gcn", "none"]


class Places(nn.Module):
    """Positional encodings of nodes as vectors of a width.

    An eigenvector is as good with the other sign: in training, signs are drawn anew for each graph and channel.

    Args:
        spec: Says which encodings the data bring.
        width: Of the vectors.
    """

    def __init__(self, spec: GraphSpec, width: int) -> None:
        super().__init__()
        self.signless = spec.place_kind == "lappe"
        self.linear = nn.Linear(spec.place_channels, width)

    def forward(self, places: Float[Tensor, "nodes place_channels"], lengths: Lengths) -> Float[Tensor, "nodes width"]:
        places = places.to(self.linear.weight.dtype)
        if self.signless and self.training:
            signs = torch.randint(0, 2, (len(lengths), places.shape[1]), device=places.device) * 2 - 1
            places = places * signs[lengths.owners()]
        return self.linear(places)


class Trunk(nn.Module):
    """Layers of a graph transformer over a batch; see `GraphTransformer` for what their parameters mean."""

    def __init__(self, layers: list[GPSLayer], places: Places | None, largest: int, out: nn.Module | None = None) -> None:
        super().__init__()
        self.layers, self.places, self.largest = nn.ModuleList(layers), places, largest
        self.out = out or nn.Identity()

    def forward(
        self,
        x: Float[Tensor, "rows width"],
        batch: GraphBatch,
        wanted: Int[Tensor, "wanted"] | None,
        present: Int[Tensor, "present"] | None = None,
    ) -> Float[Tensor, "wanted out"]:
        """What the layers give for the nodes `wanted` (None: all); nodes that are not `present` hold their place alone."""
        self._refuse_large(batch.lengths)
        hop = Hop.over(batch.edges, None, batch.edge_x)
        if present is not None:
            x = x.new_zeros(batch.edges.nodes, x.shape[1]).index_copy(0, present, x)
        if self.places is not None:
            assert batch.places is not None, "the spec says that the source brings them"
            x = x + self.places(batch.places, batch.lengths)
        for layer in self.layers:
            x = layer(x, batch.lengths, hop)
        return self.out(x if wanted is None else x[wanted])

    def _refuse_large(self, lengths: Lengths) -> None:
        if lengths.longest > self.largest:
            raise UserError(
                f"encoder: graphs/transformer compares all pairs of nodes, and a graph has {lengths.longest:,} of them\n"
                f"raise encoder.largest (now {self.largest:,}), or choose one that goes along edges alone: graphs/gat"
            )


class GraphTransformer(GraphEncoder):
    """Graph transformer (GPS; Rampasek et al. 2022): message passing beside attention among all nodes of a graph.

    Positional encodings (RWPE, LapPE) are added to the nodes where the data bring them. Features of edges are read by
    `local: gin`.

    Args:
        width: Width of a node; a multiple of `heads`.
        layers: Rounds of message passing and attention.
        heads: Attention heads.
        local: Message passing of each layer; `none`: attention alone.
        norm: Norms of the layers; `batch`, as published, needs batches that are not small.
        dropout: Of the branches of each layer.
        attention_dropout: Of attention weights.
        largest: Nodes of the largest graph: time grows with their square, so that a larger one is refused.
        pool: A graph's vector from its nodes'.
    """

    def __init__(
        self,
        spec: GraphSpec,
        /,
        *,
        width: PositiveInt = 64,
        layers: PositiveInt = 4,
        heads: PositiveInt = 4,
        local: Local = "gin",
        norm: Literal["batch", "layer"] = "batch",
        dropout: Probability = 0.0,
        attention_dropout: Probability = 0.0,
        largest: PositiveInt = 20_000,
        pool: Pool = "mean",
    ) -> None:
        super().__init__(spec, width, pool)
        if spec.samples == "neighbourhoods":
            raise UserError(
                "encoder: graphs/transformer attends within samples, and sampled neighbourhoods share their nodes\n"
                "choose graphs/gat, graphs/gcn or graphs/gin for them, or leave `neighbours` out of `data`"
            )
        self.local, self.largest = local, largest
        self.make_layer = partial(GPSLayer, norm=norm, dropout=dropout, attention_dropout=attention_dropout)
        self.inwards = nn.Linear(spec.channels, width)
        self.trunk = self._trunk(width, layers, heads, None)

    def encode(self, x: Nodes, batch: GraphBatch, wanted: Int[Tensor, "wanted"] | None) -> Float[Tensor, "wanted width"]:
        return self.trunk(times(x, self.inwards.weight.t()) + self.inwards.bias, batch, wanted)

    def decoder(self, width: int, depth: int, heads: int, out: int) -> Decoder:
        if not depth:
            return NodeReadout(self.width, out)
        return GraphDecoder(self.width, width, self._trunk(width, depth, heads, nn.Linear(width, out)))

    def _trunk(self, width: int, layers: int, heads: int, out: nn.Module | None) -> Trunk:
        places = Places(self.spec, width) if self.spec.place_channels else None
        made = [self.make_layer(width, heads, self._conv(width)) for _ in range(layers)]
        return Trunk(made, places, self.largest, out)

    def _conv(self, width: int) -> Conv | None:
        if self.local == "gcn":
            return GCNConv(width, width)
        if self.local == "none":
            return None
        if self.spec.edge_channels:
            return GINEConv(width, width, width, self.spec.edge_channels, activation="relu", norm="none")
        return GINConv(width, width, width, activation="relu", norm="none")
