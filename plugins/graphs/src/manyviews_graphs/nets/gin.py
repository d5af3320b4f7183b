"""Graph isomorphism networks, without and with features of edges."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews.objectives.shared import full
from manyviews_graphs.nets.activation import Activation, Norm, make_activation, make_norm
from manyviews_graphs.nets.conv import Conv
from manyviews_graphs.nets.hop import Hop
from manyviews_graphs.nets.rows import Nodes, times


class GINConv(Conv):
    """y_i = MLP((1 + eps) x_i + sum_j x_j) (Xu et al. 2019, equation 4.1), the MLP of two linear layers.

    The sum commutes with the MLP's first product, which is done before it where that makes rows narrower or keeps them
    sparse. The MLP is GraphMAE's: linear, norm, activation, linear.

    Args:
        channels: Width of what is read.
        hidden: Width within the MLP.
        out: Width of the output.
        activation: Within the MLP.
        norm: Within the MLP.
        learn_eps: `eps` is learned, from 0, else it is 0.
    """

    def __init__(
        self, channels: int, hidden: int, out: int, *, activation: Activation, norm: Norm, learn_eps: bool = False
    ) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(channels, hidden), nn.Linear(hidden, out)
        self.within = nn.Sequential(make_norm(norm, hidden), make_activation(activation))
        self.eps = nn.Parameter(torch.zeros(())) if learn_eps else None

    def forward(self, x: Nodes, hop: Hop) -> Float[Tensor, "wanted out"]:
        if isinstance(x, Tensor) and x.shape[1] <= self.first.out_features:
            hidden = full(self.first(self._summed(x, hop)))
        else:
            hidden = self._summed(times(x, self.first.weight.t()), hop) + self.first.bias
        return full(self.second(self.within(hidden)))

    def _summed(self, x: Float[Tensor, "present channels"], hop: Hop) -> Float[Tensor, "wanted channels"]:
        own = hop.own(x) if self.eps is None else (1 + self.eps) * hop.own(x)
        return own + self.neighbours(x, hop)

    def neighbours(self, x: Float[Tensor, "present channels"], hop: Hop) -> Float[Tensor, "wanted channels"]:
        """sum_j x_j."""
        return hop.sums(x, x.new_ones(len(hop.links), 1)).squeeze(1)


class GINEConv(GINConv):
    """y_i = MLP((1 + eps) x_i + sum_j ReLU(x_j + E e_ji)) (Hu et al. 2020, as PyG has it).

    Args:
        channels: Width of what is read.
        hidden: Width within the MLP.
        out: Width of the output.
        edge_channels: Width of an edge's features.
        activation: Within the MLP.
        norm: Within the MLP.
        learn_eps: `eps` is learned, from 0, else it is 0.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        out: int,
        edge_channels: int,
        *,
        activation: Activation,
        norm: Norm,
        learn_eps: bool = False,
    ) -> None:
        super().__init__(channels, hidden, out, activation=activation, norm=norm, learn_eps=learn_eps)
        self.edge = nn.Linear(edge_channels, channels)

    def forward(self, x: Nodes, hop: Hop) -> Float[Tensor, "wanted out"]:
        assert isinstance(x, Tensor), "features of edges are added to dense rows: the encoder projects sparse ones first"
        return full(self.second(self.within(full(self.first(self._summed(x, hop))))))

    def neighbours(self, x: Float[Tensor, "present channels"], hop: Hop) -> Float[Tensor, "wanted channels"]:
        """sum_j ReLU(x_j + E e_ji); a node without features adds ReLU(E e)."""
        assert hop.edge_x is not None, "the encoder hands the features of edges to the hop"
        features = hop.edge_x if hop.numbers is None else hop.edge_x[hop.numbers]
        messages = F.relu(hop.spread(x)[hop.links.source] + full(self.edge(features.to(self.edge.weight.dtype))))
        return hop.picked(messages.new_zeros(hop.links.targets, x.shape[1]).index_add(0, hop.links.target, messages))
