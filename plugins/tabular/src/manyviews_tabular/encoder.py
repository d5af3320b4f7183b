"""What all encoders of tables share: one token a column, and what a token's content is."""

from __future__ import annotations

from abc import ABC

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from manyviews.encoder import Encoder
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.moving import constant
from manyviews.traits import Trait
from manyviews_tabular.batch import TableBatch
from manyviews_tabular.embedding import bin_edges, quantile_bin
from manyviews_tabular.schema import RARE, TableSpec

MOST_CHANNELS = 64
"""Levels of a category, the commonest first, that `targets` has channels for; cells of rarer ones have no target."""


class TableEncoder(Encoder, ABC):
    """An encoder that sees each column of a row as a token, numeric columns first.

    `classes` are the quantile bin of a number and the level of a category, both local to the column; `targets` hold a
    scaled number in channel 0 and a one-hot category in channels 1 and up, NaN where a channel says nothing of a cell.
    """

    offers = frozenset({Trait.HIDES_TOKENS, Trait.TOKEN_TARGETS, Trait.TOKEN_CLASSES, Trait.PLACED_TOKENS})

    def __init__(self, spec: TableSpec) -> None:
        super().__init__()
        self.spec = spec
        self.columns = len(spec.tokens)
        classes = [len(column.bins) + 1 for column in spec.numeric] + [column.size - RARE for column in spec.categorical]
        self.column_classes = tuple(classes)
        self.target_classes = max(classes)
        self.target_channels = 1 + min(max((column.size - RARE for column in spec.categorical), default=0), MOST_CHANNELS)
        self.edges: Tensor
        self.register_buffer("edges", bin_edges(spec), persistent=False)

    def layout(self, batch: TableBatch) -> Layout:
        device = batch.values.device
        numbers = torch.arange(self.columns, device=device, dtype=torch.float32)
        return Layout(Lengths.equal(len(batch), self.columns, device), positions=numbers.repeat(len(batch))[:, None])

    def classes(self, batch: TableBatch) -> Int[Tensor, "tokens"]:
        bins = quantile_bin(batch, self.edges).masked_fill(batch.missing, -1)
        levels = (batch.codes.long() - RARE).clamp(min=-1)  # MISSING and UNSEEN are -1: nothing to predict
        return torch.cat([bins, levels], dim=1).flatten()

    def targets(self, batch: TableBatch, tokens: Int[Tensor, "asked"]) -> Float[Tensor, "asked channels"]:
        rows = len(batch)
        values = batch.values.masked_fill(batch.missing, torch.nan)
        numbers = F.pad(values[..., None], (0, self.target_channels - 1), value=torch.nan)
        levels = batch.codes.long() - RARE
        channels = self.target_channels - 1
        known = (levels >= 0) & (levels < channels)
        one_hot = F.one_hot(levels.where(known, 0), max(channels, 1))[..., :channels].to(values.dtype)
        one_hot = one_hot.masked_fill(~known[..., None] | self._beyond(channels), torch.nan)
        categories = F.pad(one_hot, (1, 0), value=torch.nan)
        return torch.cat([numbers, categories], dim=1).reshape(rows * self.columns, self.target_channels)[tokens]

    def _beyond(self, channels: int) -> Tensor:
        """Channels that are no level of a categorical column."""
        sizes = constant([column.size - RARE for column in self.spec.categorical], self.edges.device)
        return torch.arange(channels, device=self.edges.device) >= sizes[:, None]
