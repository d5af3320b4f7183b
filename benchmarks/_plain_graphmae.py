"""GraphMAE as one would write it from the paper with PyG's layers: what ours is timed against, and compared with.

Hou et al. 2022, "GraphMAE: Self-Supervised Masked Graph Autoencoders", in the configuration that its authors give for
Cora: GAT encoder, a linear map without bias, masked rows set to zero again, one GAT layer as decoder, scaled cosine error.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.nn import GATConv


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters of a run."""

    width: int = 512
    heads: int = 4
    layers: int = 2
    dropout: float = 0.2
    attention_dropout: float = 0.1
    slope: float = 0.2
    gamma: float = 3.0
    lr: float = 1e-3
    weight_decay: float = 2e-4


class PlainGraphMAE(nn.Module):
    """Encoder, decoder and loss on one graph with dense features and edges that hold the self-loops."""

    def __init__(self, channels: int, settings: Settings) -> None:
        super().__init__()
        self.settings = settings
        each = settings.width // settings.heads
        widths = [channels] + [settings.width] * (settings.layers - 1)
        options = {"negative_slope": settings.slope, "dropout": settings.attention_dropout, "add_self_loops": False}
        self.encoder = nn.ModuleList(GATConv(width, each, heads=settings.heads, **options) for width in widths)
        self.activations = nn.ModuleList(nn.PReLU() for _ in widths)
        self.between = nn.Linear(settings.width, settings.width, bias=False)
        self.decoder = GATConv(settings.width, channels, heads=1, **options)
        self.mask_token = nn.Parameter(torch.zeros(1, channels))

    def forward(self, x: Tensor, edges: Tensor, masked: Tensor, token: Tensor, replaced: Tensor, stand_ins: Tensor) -> Tensor:
        """The loss.

        Args:
            x: (nodes, channels).
            edges: (2, edges), source and target.
            masked: Numbers of the masked nodes.
            token: Those of them that get the mask token.
            replaced: Those that get another node's features.
            stand_ins: Whose, in the order of `replaced`.
        """
        shown = x.clone()
        shown[token] = 0.0
        shown[token] += self.mask_token
        shown[replaced] = x[stand_ins]
        h = shown
        for layer, activation in zip(self.encoder, self.activations, strict=True):
            h = activation(layer(F.dropout(h, self.settings.dropout, self.training), edges))
        h = self.between(h)
        h[masked] = 0.0
        reconstruction = self.decoder(F.dropout(h, self.settings.dropout, self.training), edges)
        return scaled_cosine_error(reconstruction[masked], x[masked], self.settings.gamma)

    def optimizer(self) -> torch.optim.Optimizer:
        """Adam, as the authors'."""
        return torch.optim.Adam(self.parameters(), lr=self.settings.lr, weight_decay=self.settings.weight_decay)


def scaled_cosine_error(prediction: Tensor, target: Tensor, gamma: float) -> Tensor:
    """Equation 2."""
    cosine = (F.normalize(prediction, dim=-1) * F.normalize(target, dim=-1)).sum(-1)
    return ((1 - cosine) ** gamma).mean()
