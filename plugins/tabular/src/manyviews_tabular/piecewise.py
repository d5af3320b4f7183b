"""Numbers in pieces: a linear layer on how far a number has come through each of its column's quantile bins.

Gorishniy, Rubachev & Babenko 2022 (arXiv 2203.05556), section 3.2, equation 1. What is linear in this encoding is
piecewise-linear in the number: a threshold on age or a step at "any capital gain" can be read off without a hidden layer.
"""

from __future__ import annotations

import numpy as np
import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor, nn

from manyviews_tabular.batch import TableBatch
from manyviews_tabular.schema import TableSpec


class PiecewiseLinear(nn.Module):
    """A vector for each number of a row: the sum of its column's piece vectors, each by the share of the piece that is passed.

    Unlike the paper's outer pieces, ours end at the training rows' least and largest value: beyond them a number counts
    as the outermost one, as the default scaling has it. Columns start at U(-1/sqrt(pieces), 1/sqrt(pieces)), as a linear
    layer of a column's own would.

    Args:
        spec: The table.
        width: Width of the vectors.
    """

    def __init__(self, spec: TableSpec, width: int) -> None:
        super().__init__()
        low, slope = pieces(spec)
        self.low: Tensor
        self.slope: Tensor
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("slope", slope, persistent=False)
        count = (slope > 0).sum(1).clamp(min=1)
        self.weight = nn.Parameter(torch.empty(*low.shape, width).uniform_(-1, 1) * count[:, None, None] ** -0.5)

    def forward(self, batch: TableBatch) -> Float[Tensor, "rows numeric width"]:
        passed = ((batch.values[..., None] - self.low) * self.slope).clamp(0, 1).to(self.weight.dtype)
        return einsum(passed, self.weight, "rows numeric pieces, numeric pieces width -> rows numeric width")


def pieces(spec: TableSpec) -> tuple[Float[Tensor, "numeric pieces"], Float[Tensor, "numeric pieces"]]:
    """Where the pieces of each numeric column begin, in scaled units, and 1 / their length; 0 behind a column's last."""
    ends = []
    for column in spec.numeric:
        least, largest = column.scaling(np.array([column.minimum, column.maximum]))
        ends.append(torch.unique(torch.tensor([least, *column.bins, largest], dtype=torch.float32)))
    most = max((len(each) - 1 for each in ends), default=0)
    low, slope = torch.zeros(2, len(ends), most)
    for i, each in enumerate(ends):
        low[i, : len(each) - 1], slope[i, : len(each) - 1] = each[:-1], 1 / each.diff()
    return low, slope
