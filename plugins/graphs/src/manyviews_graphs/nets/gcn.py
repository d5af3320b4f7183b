"""Graph convolution (Kipf & Welling 2017)."""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from manyviews_graphs.nets.conv import Conv, each_head, sums_first
from manyviews_graphs.nets.hop import Hop
from manyviews_graphs.nets.rows import Nodes, times


class GCNConv(Conv):
    """y_i = sum_j (d_i d_j)^-1/2 W x_j + b, d the number of edges into a node (equation 2; self-loops are the hop's affair).

    Args:
        channels: Width of what is read.
        out: Width of the output.
        bias: Whether there is a `b`.
    """

    def __init__(self, channels: int, out: int, *, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(channels, out)))
        self.bias = nn.Parameter(torch.zeros(out)) if bias else None

    def forward(self, x: Nodes, hop: Hop) -> Float[Tensor, "wanted out"]:
        weights = symmetric(hop, self.weight.dtype)
        if sums_first(x, hop, 1, *self.weight.shape):
            assert isinstance(x, Tensor)
            summed = hop.sums(x, weights, partial(each_head, weight=self.weight[:, None]))
        else:
            summed = hop.sums(times(x, self.weight), weights)
        return summed.squeeze(1) if self.bias is None else summed.squeeze(1) + self.bias


def symmetric(hop: Hop, kind: torch.dtype) -> Float[Tensor, "links one"]:
    """(d_i d_j)^-1/2 of each link; 0 where a node has no edge into it."""
    roots = hop.edges.in_degree.to(kind).rsqrt()
    roots = torch.where(roots.isinf(), 0.0, roots)
    at = roots if hop.at is None else roots[hop.at]
    return (roots[hop.links.source] * at[hop.links.target])[:, None]
