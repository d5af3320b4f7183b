"""Heads that say what a cell holds: a class (quantile bin, level) or a number, for all columns in one product."""

from __future__ import annotations

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor, nn

from manyviews_tabular.encoder import TableEncoder


class CellHeads(nn.Module):
    """From a vector for each column to logits over that column's classes and to a number.

    Columns have different numbers of classes: all heads are one padded product, and what a column lacks is -inf.

    Args:
        encoder: The encoder, whose classes are to be told.
        width: Width of the vectors.
    """

    def __init__(self, encoder: TableEncoder, width: int) -> None:
        super().__init__()
        columns, classes = encoder.columns, encoder.target_classes
        self.weight = nn.Parameter(torch.empty(columns, width, classes + 1).normal_(std=0.02))
        self.bias = nn.Parameter(torch.zeros(columns, classes + 1))
        sizes = torch.tensor([*encoder.column_classes])
        self.lacking: Tensor
        self.register_buffer("lacking", torch.arange(classes) >= sizes[:, None], persistent=False)

    def forward(
        self, vectors: Float[Tensor, "rows columns width"]
    ) -> tuple[Float[Tensor, "rows columns classes"], Float[Tensor, "rows columns"]]:
        """Logits, and numbers in scaled units (which mean something for numeric columns only)."""
        out = einsum(vectors, self.weight, "rows columns width, columns width out -> rows columns out") + self.bias
        return out[..., :-1].masked_fill(self.lacking, -torch.inf), out[..., -1]
