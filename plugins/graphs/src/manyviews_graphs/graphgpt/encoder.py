"""The encoder `graphs/graphgpt`: a Transformer over a graph written as a sequence (GraphGPT, Zhao et al. 2024)."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from manyviews.encoder import Encoder
from manyviews.encoding import Encoding
from manyviews.errors import UserError
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.nets.positions import sincos
from manyviews.nets.transformer import Transformer
from manyviews.objectives.shared import exact
from manyviews.traits import Trait
from manyviews.view import View
from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.graphgpt.serial import Serial
from manyviews_graphs.graphgpt.vocabulary import Vocabulary
from manyviews_graphs.spec import GraphSpec


class GraphGPT(Encoder):
    """Reads a graph along a random Eulerian path; its tokens are the words of that path, not the nodes.

    For many graphs, or neighbourhoods, whose source draws the paths (`data.paths: true`). With `autoregression` it is
    pretrained by the next token (`causal: true`), with `masked_reconstruction` of classes by masked tokens.

    Args:
        width: Width of a token.
        depth: Transformer blocks.
        heads: Attention heads.
        numbers: Different numbers that nodes are called by, counted round and round from a random one; no fewer than the
            largest graph has nodes.
        causal: A token sees only itself and those before it.
        dropout: Dropout.
        pool: A graph's vector: the mean of its tokens, or the last one, which a causal encoder shows the whole graph.
    """

    offers = frozenset({Trait.HIDES_TOKENS, Trait.TOKEN_CLASSES, Trait.PLACED_TOKENS, Trait.CAUSAL, Trait.LAYERS})

    def __init__(
        self,
        spec: GraphSpec,
        /,
        *,
        width: PositiveInt = 128,
        depth: PositiveInt = 4,
        heads: PositiveInt = 4,
        numbers: PositiveInt = 256,
        causal: bool = True,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        pool: Literal["mean", "last"] = "mean",
    ) -> None:
        super().__init__()
        if not spec.paths:
            raise UserError("graphs/graphgpt reads graphs along paths, and `data` draws none; set `data.paths: true`")
        self.width, self.numbers, self.causal, self.pool = width, numbers, causal, pool
        self.vocabulary = Vocabulary.of(spec)
        self.target_classes = numbers + self.vocabulary.size
        self.embedding = nn.Embedding(self.target_classes, width)
        self.mask_token = nn.Parameter(torch.empty(width).normal_(std=0.02))
        self.node_numbers = nn.Linear(self.vocabulary.numbers, width, bias=False) if self.vocabulary.numbers else None
        self.edge_numbers = nn.Linear(self.vocabulary.edge_numbers, width, bias=False) if self.vocabulary.edge_numbers else None
        nn.init.normal_(self.embedding.weight, std=0.02)
        self.transformer = Transformer(width, depth, heads, dropout=dropout, causal=causal)

    def layout(self, batch: GraphBatch) -> Layout:
        lengths = self._serial(batch).lengths
        return Layout(lengths, positions=lengths.places()[:, None].to(torch.float32))

    def forward(self, view: View) -> Encoding:
        lengths = view.layout.lengths
        tokens = self._embedded(view.batch)
        if view.hidden is not None:
            tokens = torch.where(view.hidden.where[0][:, None], self.mask_token.to(tokens.dtype), tokens)
        assert view.layout.positions is not None
        tokens = tokens + sincos(view.layout.positions, self.width).to(tokens.dtype)
        layers: tuple[Tensor, ...] = ()
        if view.layers:
            *_, tokens = layers = self.transformer.layers(tokens, lengths)
        else:
            tokens = self.transformer(tokens, lengths)
        return Encoding(tokens, None, lengths, self._pooled(tokens, lengths), layers)

    def classes(self, batch: GraphBatch) -> Int[Tensor, "tokens"]:
        """The number of a node, or behind all numbers the word."""
        serial = self._serial(batch)
        number = (serial.number + serial.shift[serial.lengths.owners()]) % self.numbers
        return torch.where(serial.word < 0, number, self.numbers + serial.word)

    def _serial(self, batch: GraphBatch) -> Serial:
        if batch.path is None:
            raise UserError("graphs/graphgpt reads graphs along paths, and these have none; set `data.paths: true`")
        if batch.path.most > self.numbers:
            raise UserError(
                f"encoder.numbers: {self.numbers} numbers for a graph of {batch.path.most} nodes, which have to be told apart; "
                "set it higher"
            )
        return batch.path

    def _embedded(self, batch: GraphBatch) -> Float[Tensor, "tokens width"]:
        serial = self._serial(batch)
        tokens: Tensor = self.embedding(self.classes(batch))
        if self.node_numbers is not None:
            tokens = tokens + _read(batch.x, self.node_numbers.weight, serial.node)
        if self.edge_numbers is not None:
            assert batch.edge_x is not None
            tokens = tokens + _read(batch.edge_x, self.edge_numbers.weight, serial.edge)
        return tokens

    def _pooled(self, tokens: Float[Tensor, "tokens width"], lengths: Lengths) -> Float[Tensor, "samples width"]:
        if self.pool == "mean":
            return lengths.mean(tokens)
        return tokens[(lengths.starts() + lengths.tensor - 1).clamp(min=0)]


def _read(
    x: Float[Tensor, "rows channels"], weight: Float[Tensor, "width numbers"], row: Int[Tensor, "tokens"]
) -> Float[Tensor, "tokens width"]:
    """The first channels of these rows times the weight; zero where the row is -1. Sparse features stay sparse."""
    if x.layout == torch.strided:
        numbers = x[:, : weight.shape[1]].to(weight.dtype) @ weight.mT
    else:
        behind = weight.new_zeros(x.shape[1] - weight.shape[1], weight.shape[0])
        with exact(weight):  # sparse products have no half precision
            numbers = torch.sparse.mm(x.to(weight.dtype), torch.cat([weight.mT, behind]))
    return torch.where((row >= 0)[:, None], numbers[row.clamp(min=0)], 0.0)
