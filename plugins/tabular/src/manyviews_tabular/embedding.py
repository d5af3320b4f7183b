"""Cells to vectors: one token a column (FT-Transformer, Gorishniy et al. 2021, section 3.3)."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from manyviews_tabular.batch import TableBatch
from manyviews_tabular.schema import UNSEEN, TableSpec


class ColumnEmbedding(nn.Module):
    """Numbers as x w_j + b_j, categories as a vector for each level of each column + b_j.

    A missing number has its own vector in place of x w_j, a missing category its own code. An unseen level starts as the
    zero vector and no training row moves it: the token is then the column's b_j alone.

    Args:
        spec: The table.
        width: Width of a token.
    """

    def __init__(self, spec: TableSpec, width: int) -> None:
        super().__init__()
        numeric, sizes = len(spec.numeric), [column.size for column in spec.categorical]
        self.weight = nn.Parameter(_uniform(numeric, width))
        self.missing = nn.Parameter(_uniform(numeric, width))
        self.bias = nn.Parameter(_uniform(numeric + len(sizes), width))
        self.levels = nn.Embedding(sum(sizes), width)
        self.offsets: Tensor
        self.register_buffer("offsets", torch.tensor([0, *sizes]).cumsum(0)[:-1], persistent=False)
        with torch.no_grad():
            self.levels.weight.copy_(_uniform(sum(sizes), width))
            self.levels.weight[self.offsets + UNSEEN] = 0

    def forward(self, batch: TableBatch) -> Float[Tensor, "rows columns width"]:
        """The tokens of each row, in the order of the spec."""
        numbers = batch.values.to(self.weight.dtype)[..., None] * self.weight
        numbers = torch.where(batch.missing[..., None], self.missing, numbers)
        categories = self.levels(batch.codes + self.offsets)
        return torch.cat([numbers, categories], dim=1) + self.bias


class FlatColumns(nn.Module):
    """A row as one vector, for nets without tokens: each column its own stretch of `width` channels.

    Args:
        spec: The table.
        width: Channels of a column.
    """

    def __init__(self, spec: TableSpec, width: int) -> None:
        super().__init__()
        self.columns = ColumnEmbedding(spec, width)
        self.mask = nn.Parameter(_uniform(len(spec.tokens), width))
        self.width = width * len(spec.tokens)

    def forward(self, batch: TableBatch, hidden: Tensor | None) -> Float[Tensor, "rows channels"]:
        """`hidden` (rows, columns) or None: columns whose content is replaced by a learned vector of the column's own."""
        tokens = self.columns(batch)
        if hidden is not None:
            tokens = torch.where(hidden[..., None], self.mask, tokens)
        return rearrange(tokens, "rows columns width -> rows (columns width)")


def _uniform(rows: int, width: int) -> Tensor:
    """U(-1/sqrt(width), 1/sqrt(width)), as FT-Transformer starts its tokens."""
    return torch.empty(rows, width).uniform_(-(width**-0.5), width**-0.5)
