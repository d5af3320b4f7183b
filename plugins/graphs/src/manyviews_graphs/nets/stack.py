"""Layers one after another: dropout, message passing, residual, norm, activation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from manyviews_graphs.edges import Edges
from manyviews_graphs.nets.activation import Activation, NodeNorm, Norm, make_activation, make_norm
from manyviews_graphs.nets.conv import Conv
from manyviews_graphs.nets.hop import Hop
from manyviews_graphs.nets.rows import Nodes, dropped, times


@dataclass(frozen=True)
class Style:
    """What all layers of a net have in common."""

    activation: Activation = "prelu"
    norm: Norm = "none"
    dropout: float = 0.0
    """Of what a layer reads."""
    residual: bool = False


class Layer(nn.Module):
    """One layer.

    Args:
        conv: Message passing.
        channels: Width of what is read.
        out: Width of the output.
        style: What comes before and after.
        bare: Nothing comes after: neither residual, norm nor activation (the last layer of a decoder).
    """

    def __init__(self, conv: Conv, channels: int, out: int, style: Style, *, bare: bool = False) -> None:
        super().__init__()
        self.conv, self.dropout = conv, style.dropout
        self.residual = style.residual and not bare
        self.across = nn.Linear(channels, out, bias=False) if self.residual and channels != out else None
        self.norm = make_norm("none" if bare else style.norm, out)
        self.activation = make_activation("none" if bare else style.activation)

    @property
    def mixes(self) -> bool:
        """Whether what one node gets depends on which others are asked for: batch norm."""
        return any(isinstance(part, NodeNorm) for part in self.modules())

    def forward(self, x: Nodes, hop: Hop) -> Float[Tensor, "wanted out"]:
        x = dropped(x, self.dropout, self.training)
        y = self.conv(x, hop)
        if self.residual:
            y = y + self._skipping(x, y, hop)
        return self.activation(self.norm(y))

    def _skipping(self, x: Nodes, y: Float[Tensor, "wanted out"], hop: Hop) -> Float[Tensor, "wanted out"]:
        if isinstance(x, Tensor):
            own = hop.own(x)
            return own if self.across is None else times(own, self.across.weight.t())
        # sparse rows of the layer's own width: a product with the identity makes them dense
        weight = self.across.weight.t() if self.across is not None else torch.eye(x.shape[1], dtype=y.dtype, device=y.device)
        return hop.own(times(x, weight))


class Stack(nn.Module):
    """Layers over the nodes of a graph.

    Args:
        layers: At least one.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(
        self,
        x: Nodes,
        edges: Edges,
        edge_x: Float[Tensor, "edges channels"] | None,
        wanted: Int[Tensor, "wanted"] | None,
        present: Int[Tensor, "present"] | None = None,
    ) -> Float[Tensor, "wanted out"]:
        """What the last layer gives, for the nodes `wanted` (ascending; None: all).

        Args:
            x: What nodes hold.
            edges: Of the graph.
            edge_x: Features of these edges.
            wanted: The last layer leaves other nodes out, unless what it gives for one depends on them.
            present: The nodes that hold anything, the rows of `x`, dense; None: all do.
        """
        whole = Hop.over(edges, None, edge_x)
        last = cast(Layer, self.layers[-1])
        few = wanted is not None and not last.mixes
        for layer in self.layers:
            hop = Hop.over(edges, wanted, edge_x) if few and layer is last else whole
            if present is not None:
                assert isinstance(x, Tensor), "rows of features are those of all nodes"
                x, hop = hop.among(x, present)
            x, present = layer(x, hop), None
        assert isinstance(x, Tensor), "a layer gives dense rows"
        return x if few or wanted is None else x[wanted]
