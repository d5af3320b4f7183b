"""Cells to vectors: one token a column (FT-Transformer, Gorishniy et al. 2021, section 3.3)."""

from __future__ import annotations

from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews_tabular.batch import TableBatch
from manyviews_tabular.piecewise import PiecewiseLinear
from manyviews_tabular.schema import UNSEEN, TableSpec

Numbers = Literal["linear", "bins", "piecewise"]
"""How a number becomes a vector: x w_j; that and a vector of its quantile bin; or linear in pieces, one for each bin."""


class ColumnEmbedding(nn.Module):
    """Numbers as x w_j + b_j, categories as a vector for each level of each column + b_j.

    A missing number has its own vector in place of x w_j, a missing category its own code. An unseen level starts as the
    zero vector and no training row moves it: the token is then the column's b_j alone.

    Args:
        spec: The table.
        width: Width of a token.
        numbers: `bins` adds a vector of the number's quantile bin, so that a token is no straight line in x; `piecewise` is a
            line that bends at each bin's edge (see `PiecewiseLinear`).
    """

    def __init__(self, spec: TableSpec, width: int, numbers: Numbers = "linear") -> None:
        super().__init__()
        numeric, sizes = len(spec.numeric), [column.size for column in spec.categorical]
        edges = bin_edges(spec)
        self.edges: Tensor
        self.register_buffer("edges", edges, persistent=False)
        self.pieces = PiecewiseLinear(spec, width) if numbers == "piecewise" else None
        self.number_embeddings = None if self.pieces else nn.Parameter(_uniform(numeric, width))
        bins = numeric * (edges.shape[1] + 1)
        self.bin_embeddings = nn.Parameter(_uniform(bins, width)) if numbers == "bins" else None
        self.missing_embeddings = nn.Parameter(_uniform(numeric, width))
        self.bias = nn.Parameter(_uniform(numeric + len(sizes), width))
        self.level_embeddings = nn.Parameter(_uniform(sum(sizes), width))
        self.offsets: Tensor
        self.register_buffer("offsets", torch.tensor([0, *sizes]).cumsum(0)[:-1], persistent=False)
        with torch.no_grad():
            self.level_embeddings[self.offsets + UNSEEN] = 0

    def forward(self, batch: TableBatch) -> Float[Tensor, "rows columns width"]:
        """The tokens of each row, in the order of the spec."""
        numbers = torch.where(batch.missing[..., None], self.missing_embeddings, self._numbers(batch))
        categories = F.embedding(batch.codes + self.offsets, self.level_embeddings)
        return torch.cat([numbers, categories], dim=1) + self.bias

    def _numbers(self, batch: TableBatch) -> Float[Tensor, "rows numeric width"]:
        """Vectors of the numbers, as if none were missing."""
        if self.pieces is not None:
            return self.pieces(batch)
        assert self.number_embeddings is not None, "without pieces, numbers have a direction each"
        numbers = batch.values.to(self.bias.dtype)[..., None] * self.number_embeddings
        return numbers if self.bin_embeddings is None else numbers + F.embedding(self._bin_rows(batch), self.bin_embeddings)

    def _bin_rows(self, batch: TableBatch) -> Int[Tensor, "rows numeric"]:
        """Where each number's bin stands among the bins of all columns."""
        columns, edges = self.edges.shape
        return quantile_bin(batch, self.edges) + torch.arange(columns, device=self.edges.device) * (edges + 1)


class FlatColumns(nn.Module):
    """A row as one vector, for nets without tokens: each column its own stretch of `width` channels.

    Args:
        spec: The table.
        width: Channels of a column.
        numbers: As in `ColumnEmbedding`.
    """

    def __init__(self, spec: TableSpec, width: int, numbers: Numbers = "linear") -> None:
        super().__init__()
        self.columns = ColumnEmbedding(spec, width, numbers)
        self.mask_tokens = nn.Parameter(_uniform(len(spec.tokens), width))
        self.width = width * len(spec.tokens)

    def forward(self, batch: TableBatch, hidden: Tensor | None) -> Float[Tensor, "rows channels"]:
        """`hidden` (rows, columns) or None: columns whose content is replaced by a learned vector of the column's own."""
        tokens = self.columns(batch)
        if hidden is not None:
            tokens = torch.where(hidden[..., None], self.mask_tokens, tokens)
        return rearrange(tokens, "rows columns width -> rows (columns width)")


def _uniform(rows: int, width: int) -> Tensor:
    """U(-1/sqrt(width), 1/sqrt(width)), as FT-Transformer starts its tokens."""
    return torch.empty(rows, width).uniform_(-(width**-0.5), width**-0.5)


def bin_edges(spec: TableSpec) -> Float[Tensor, "numeric edges"]:
    """Inner edges of every numeric column's quantile bins, in scaled units; infinite behind a column's last."""
    most = max((len(column.bins) for column in spec.numeric), default=0)
    edges = torch.full((len(spec.numeric), most), torch.inf)
    for i, column in enumerate(spec.numeric):
        edges[i, : len(column.bins)] = torch.tensor(column.bins)
    return edges


def quantile_bin(batch: TableBatch, edges: Float[Tensor, "numeric edges"]) -> Int[Tensor, "rows numeric"]:
    """The bin of each number, from 0; of a missing one that of 0."""
    values = rearrange(batch.values.float(), "rows columns -> columns rows").contiguous()
    return rearrange(torch.searchsorted(edges, values, right=True), "columns rows -> rows columns")
