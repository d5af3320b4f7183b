"""What all encoders of graphs share: nodes as tokens, what they hold, what stands in a withheld one's place, readout."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn

from manyviews.encoder import Encoder
from manyviews.encoding import Encoding
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.traits import Trait
from manyviews.view import View
from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.features import dense_rows
from manyviews_graphs.nets.rows import Nodes
from manyviews_graphs.shown import shown
from manyviews_graphs.spec import GraphSpec

Pool = Literal["mean", "sum", "max"]
Probability = Annotated[float, Field(ge=0, lt=1)]


class GraphEncoder(Encoder, ABC):
    """An encoder that sees nodes as tokens and puts a learned token, or another node's features, where one is withheld.

    Withheld nodes take part in message passing by what stands in their place; only the others are given back.
    `targets` are the features of a node; `classes` its label, where features are one-hot node labels.
    """

    offers = frozenset({Trait.HIDES_TOKENS, Trait.OWN_TOKENS, Trait.TOKEN_TARGETS, Trait.TOKEN_CLASSES})

    def __init__(self, spec: GraphSpec, width: int, pool: Pool) -> None:
        super().__init__()
        self.spec, self.width, self.pool = spec, width, pool
        self.target_channels = spec.channels
        self.target_classes = len(spec.labels) if spec.features == "one_hot" else 0
        self.mask_token = nn.Parameter(torch.zeros(spec.channels))

    def layout(self, batch: GraphBatch) -> Layout:
        return Layout(batch.lengths)

    def targets(self, batch: GraphBatch, tokens: Int[Tensor, "asked"]) -> Float[Tensor, "asked channels"]:
        return dense_rows(batch.x, tokens)

    def classes(self, batch: GraphBatch) -> Int[Tensor, "tokens"]:
        if not self.target_classes:
            return super().classes(batch)
        every = torch.arange(batch.x.shape[0], device=batch.x.device)
        largest, label = dense_rows(batch.x, every)[:, : self.target_classes].max(1)
        return torch.where(largest > 0, label, -1)

    def forward(self, view: View) -> Encoding:
        lengths = view.layout.lengths
        if view.hidden is None:
            tokens = self.encode(self._shown(view), view.batch, None)
            return Encoding(tokens, None, lengths, self._pooled(tokens, None, lengths, view.batch))
        left = view.hidden.complement(lengths)
        present, counts = left.index(lengths), left.lengths(lengths)
        tokens = self.encode(self._shown(view), view.batch, present)
        return Encoding(tokens, present, counts, self._pooled(tokens, present, counts, view.batch))

    @abstractmethod
    def encode(self, x: Nodes, batch: GraphBatch, wanted: Int[Tensor, "wanted"] | None) -> Float[Tensor, "wanted width"]:
        """The nodes `wanted` (None: all), from what stands at each node."""

    def _shown(self, view: View) -> Nodes:
        return shown(view.batch, view.hidden, self.mask_token)

    def _pooled(
        self,
        tokens: Float[Tensor, "present width"],
        present: Int[Tensor, "present"] | None,
        lengths: Lengths,
        batch: GraphBatch,
    ) -> Float[Tensor, "samples width"]:
        """The seed's vector where samples are seeds (zero where it is withheld), else a readout of the nodes present."""
        if batch.seeded:
            return _rows_of(tokens, present, batch.lengths.starts())
        if self.pool == "mean":
            return lengths.mean(tokens)
        owners = lengths.owners()
        zeros = tokens.new_zeros(len(lengths), tokens.shape[1])
        if self.pool == "sum":
            return zeros.index_add(0, owners, tokens)
        return zeros.scatter_reduce(0, owners[:, None].expand_as(tokens), tokens, "amax", include_self=False)


def _rows_of(
    tokens: Float[Tensor, "present width"], present: Int[Tensor, "present"] | None, nodes: Int[Tensor, "nodes"]
) -> Float[Tensor, "nodes width"]:
    """The rows of these nodes, zeros for those that are not present."""
    if present is None:
        return tokens[nodes]
    if not len(present):
        return tokens.new_zeros(len(nodes), tokens.shape[1])
    place = torch.searchsorted(present, nodes).clamp(max=len(present) - 1)
    return torch.where((present[place] == nodes)[:, None], tokens[place], 0.0)
