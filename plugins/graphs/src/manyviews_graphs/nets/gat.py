"""Graph attention (Velickovic et al. 2018), computed as products with sparse matrices, in the cheaper order.

The weights of the edges are a matrix, so a layer is A (X W), or (A X) W where fewer nodes are wanted than read: exactly
PyG's `GATConv`, which gathers a row for every edge and head.
"""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews.objectives.shared import exact, full
from manyviews_graphs.nets.conv import Conv, each_head, sums_first
from manyviews_graphs.nets.dropout import dropout
from manyviews_graphs.nets.hop import Hop
from manyviews_graphs.nets.rows import Nodes, times
from manyviews_graphs.nets.softmax import edge_softmax

GAIN = 1.414
"""Of Xavier's normal distribution, for all weights of GraphMAE's layers."""


class GATConv(Conv):
    """y_i = || or mean over h of sum_j a_hij W_h x_j + b, a = softmax over j of LeakyReLU(s_h . W_h x_j + t_h . W_h x_i).

    Equations 1 to 6 of the paper. Self-loops are the hop's affair.

    Args:
        channels: Width of what is read.
        out: Width of the output; with `concat` the heads share it, so it divides by `heads`.
        heads: Attention heads.
        concat: Heads behind one another; else their mean.
        slope: Of LeakyReLU below 0.
        dropout: Of attention weights.
        bias: Whether there is a `b`.
    """

    def __init__(
        self, channels: int, out: int, heads: int, *, concat: bool, slope: float, dropout: float, bias: bool = True
    ) -> None:
        super().__init__()
        assert not concat or out % heads == 0, "the caller checks that heads share the width"
        self.heads, self.each, self.concat = heads, out // heads if concat else out, concat
        self.slope, self.dropout = slope, dropout
        self.weight = nn.Parameter(torch.empty(channels, heads * self.each))
        self.send, self.take = (nn.Parameter(torch.empty(heads, self.each)) for _ in range(2))
        self.bias = nn.Parameter(torch.zeros(out)) if bias else None
        for parameter in (self.weight, self.send.data[None], self.take.data[None]):  # with that axis, as published
            nn.init.xavier_normal_(parameter, gain=GAIN)

    def forward(self, x: Nodes, hop: Hop) -> Float[Tensor, "wanted out"]:
        weight = self.weight.view(-1, self.heads, self.each)
        if sums_first(x, hop, self.heads, weight.shape[0], self.each):
            assert isinstance(x, Tensor)
            received = hop.sums(x, self.attention(self._scores(x, self.weight), hop), partial(each_head, weight=weight))
        else:
            sent = times(x, self.weight)
            narrow = isinstance(x, Tensor) and x.shape[1] <= sent.shape[1]
            scores = self._scores(cast(Tensor, x), self.weight) if narrow else self._scores(sent, None)
            received = hop.sums(sent.view(-1, self.heads, self.each), self.attention(scores, hop))
        joined = received.flatten(1) if self.concat else received.mean(1)
        return joined if self.bias is None else joined + self.bias

    def attention(self, scores: Float[Tensor, "present two_heads"], hop: Hop) -> Float[Tensor, "links heads"]:
        """Equation 3, dropped out. Nodes without features score 0 and count in the softmax."""
        sends, takes = hop.spread(scores).tensor_split(2, dim=1)
        takes = takes if hop.at is None else takes[hop.at]
        logits = F.leaky_relu(sends[hop.links.source] + takes[hop.links.target], self.slope)
        return dropout(edge_softmax(logits, hop.links), self.dropout, self.training)

    def _scores(self, x: Float[Tensor, "present channels"], weight: Float[Tensor, "channels sent"] | None) -> Tensor:
        """(present, two_heads): s_h . z and t_h . z of each node and head, z what the node sends, `x` or `x @ weight`.

        Written with the long axis last, in which order such a flat product is several times faster.
        """
        with exact(x):
            blocks = self._blocks() if weight is None else self._blocks() @ weight.t()
            return (blocks @ full(x).t()).t()

    def _blocks(self) -> Float[Tensor, "two_heads sent"]:
        """The vectors s_h, then t_h, each where its head stands in what a node sends."""
        own = torch.eye(self.heads, dtype=self.send.dtype, device=self.send.device)[..., None]
        return torch.cat([own * self.send, own * self.take]).flatten(1)
