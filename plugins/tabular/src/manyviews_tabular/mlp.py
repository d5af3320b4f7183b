"""A residual MLP over whole rows: the encoder of SCARF and VIME, and the cheapest one there is."""

from __future__ import annotations

from typing import Annotated

import torch
from einops import rearrange
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from manyviews.encoding import Encoding
from manyviews.lengths import Lengths
from manyviews.view import View
from manyviews_tabular.embedding import FlatColumns, Numbers
from manyviews_tabular.encoder import TableEncoder
from manyviews_tabular.schema import TableSpec


class TableMLP(TableEncoder):
    """All columns behind one another, then residual blocks (ResNet of Gorishniy et al. 2021, section 3.2).

    An MLP mixes the columns at once and has no tokens of its own. What it gives as a column's token is the row's vector
    under a scale and shift of that column, so that objectives on tokens work; the row's vector itself is `pooled`. No norm
    stands at the end: behind a head with batch norm a contrastive loss leaves the mean of `pooled` free to drift, and a
    layer norm would then squeeze what varies beside it.

    Args:
        width: Width of the row's vector and of a token.
        depth: Residual blocks.
        column_width: Channels that a column enters with.
        ff: Hidden width of a block; default: twice `width`.
        numbers: `linear`: a number enters as x w + b; `bins`: with a vector of its quantile bin; `piecewise`: as a line that
            bends at the quantile bins' edges.
        dropout: In the blocks.
    """

    def __init__(
        self,
        spec: TableSpec,
        /,
        *,
        width: PositiveInt = 128,
        depth: PositiveInt = 3,
        column_width: PositiveInt = 16,
        ff: PositiveInt | None = None,
        numbers: Numbers = "linear",
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__(spec)
        self.width = width
        self.row = FlatColumns(spec, column_width, numbers)
        self.inwards = nn.Linear(self.row.width, width)
        self.blocks = nn.ModuleList(_Block(width, ff or 2 * width, dropout) for _ in range(depth))
        self.scale = nn.Parameter(torch.ones(self.columns, width) + 0.02 * torch.randn(self.columns, width))
        self.shift = nn.Parameter(0.02 * torch.randn(self.columns, width))

    def forward(self, view: View) -> Encoding:
        rows = len(view.batch)
        pooled = self.inwards(self.row(view.batch, None if view.hidden is None else view.hidden.where.reshape(rows, -1)))
        for block in self.blocks:
            pooled = block(pooled)
        tokens = rearrange(pooled[:, None] * self.scale + self.shift, "rows columns width -> (rows columns) width")
        return Encoding(tokens, None, Lengths.equal(rows, self.columns, tokens.device), pooled)


class _Block(nn.Module):
    def __init__(self, width: int, ff: int, dropout: float) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, ff), nn.ReLU(), nn.Dropout(dropout), nn.Linear(ff, width), nn.Dropout(dropout)
        )

    def forward(self, x: Float[Tensor, "rows width"]) -> Float[Tensor, "rows width"]:
        return x + self.net(x)
