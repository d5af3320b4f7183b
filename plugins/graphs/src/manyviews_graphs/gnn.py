"""What GAT, GCN and GIN share: layers of message passing, and a decoder made of the same."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float, Int
from torch import Tensor

from manyviews.decoder import Decoder
from manyviews.errors import UserError
from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.decoder import GraphDecoder, NodeReadout
from manyviews_graphs.encoder import GraphEncoder, Pool
from manyviews_graphs.nets.conv import Conv
from manyviews_graphs.nets.rows import Nodes
from manyviews_graphs.nets.stack import Layer, Stack, Style
from manyviews_graphs.passing import Passing
from manyviews_graphs.spec import GraphSpec


class GNN(GraphEncoder, ABC):
    """Rounds of message passing. A subclass says what a round is made of and sets `trunk`."""

    trunk: Passing

    def __init__(self, spec: GraphSpec, width: int, pool: Pool, style: Style) -> None:
        super().__init__(spec, width, pool)
        self.style = style
        if spec.place_kind != "none":
            raise UserError(
                f"encoder: {type(self).__name__} reads no positional encodings, and `data` asks for {spec.place_kind}\n"
                "choose graphs/transformer, or leave the positional encodings out of `data`"
            )

    @abstractmethod
    def make_conv(self, channels: int, hidden: int, out: int, heads: int | None) -> Conv:
        """A round's message passing.

        Args:
            channels: Width of what is read.
            hidden: Width within, where there is such a thing.
            out: Width of the output.
            heads: Of a decoder's layer; None: an encoder's layer, as the recipe says.
        """

    def make_layer(self, channels: int, out: int, heads: int | None = None) -> Layer:
        """A layer in the encoder's style."""
        return Layer(self.make_conv(channels, out, out, heads), channels, out, self.style)

    def encode(self, x: Nodes, batch: GraphBatch, wanted: Int[Tensor, "wanted"] | None) -> Float[Tensor, "wanted width"]:
        return self.trunk(x, batch, wanted)

    def decoder(self, width: int, depth: int, heads: int, out: int) -> Decoder:
        """GraphMAE's: the last of its layers has one head and gives `out` channels as they are."""
        if not depth:
            return NodeReadout(self.width, out)
        last = Layer(self.make_conv(width, width, out, 1), width, out, self.style, bare=True)
        stack = Stack([*(self.make_layer(width, width, heads) for _ in range(depth - 1)), last])
        trunk = Passing(stack, self_loops=self.trunk.self_loops, edge_features=self.trunk.edge_features)
        return GraphDecoder(self.width, width, trunk)
