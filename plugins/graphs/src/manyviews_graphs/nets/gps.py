"""Layers of a graph transformer: messages along edges beside attention among all nodes of a graph.

GPS (Rampasek et al. 2022, "Recipe for a General, Powerful, Scalable Graph Transformer", equations 1 to 6).
"""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from manyviews.lengths import Lengths
from manyviews.nets.transformer import Attention
from manyviews.objectives.shared import full
from manyviews_graphs.nets.activation import make_norm
from manyviews_graphs.nets.conv import Conv
from manyviews_graphs.nets.hop import Hop


class GPSLayer(nn.Module):
    """x' = N(z + MLP(z)), z = N(x + Conv(x)) + N(x + Attention(x)), N a norm, each branch dropped out.

    Args:
        width: Width of a node; a multiple of `heads`.
        heads: Attention heads.
        conv: Message passing; None: attention alone.
        norm: `batch`, as published, or `layer`.
        dropout: Of both branches and the MLP.
        attention_dropout: Of attention weights.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        conv: Conv | None,
        *,
        norm: Literal["batch", "layer"],
        dropout: float,
        attention_dropout: float,
    ) -> None:
        super().__init__()
        self.conv = conv
        self.attention = Attention(width, heads, attention_dropout)
        self.norms = nn.ModuleList(make_norm(norm, width) for _ in range(3 if conv else 2))
        self.feed = nn.Sequential(
            nn.Linear(width, 2 * width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(2 * width, width), nn.Dropout(dropout)
        )
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "nodes width"], lengths: Lengths, hop: Hop) -> Float[Tensor, "nodes width"]:
        last, every, *along = self.norms
        y = every(x + self.drop(full(self.attention.among(x, lengths))))
        if self.conv is not None:
            y = y + along[0](x + self.drop(self.conv(x, hop)))
        return last(y + full(self.feed(y)))
