"""Heads over bags of instances: crops of a volume, slices of a scan, tiles of a slide."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class AttentionMIL(nn.Module):
    """Gated attention over the instances of a bag, and a linear layer (Ilse et al. 2018, equations 8 and 9).

    Args:
        width: Width of an instance.
        hidden: Width of the attention's hidden layer.
        out: Classes.
    """

    def __init__(self, width: int, *, hidden: int, out: int) -> None:
        super().__init__()
        self.value, self.gate = nn.Linear(width, hidden), nn.Linear(width, hidden)
        self.weight, self.last = nn.Linear(hidden, 1), nn.Linear(width, out)

    def attention(self, bags: Float[Tensor, "bags instances width"]) -> Float[Tensor, "bags instances"]:
        """How much each instance counts; a bag's sum to 1."""
        gated = self.value(bags).tanh() * self.gate(bags).sigmoid()
        weights: Tensor = self.weight(gated)[..., 0]
        return weights.softmax(1)

    def forward(self, bags: Float[Tensor, "bags instances width"]) -> Float[Tensor, "bags out"]:
        """Logits of each bag."""
        pooled = (self.attention(bags)[..., None] * bags).sum(1)
        return self.last(pooled)


class PrototypeMIL(nn.Module):
    """Each instance is likened to prototypes of the classes; a bag is what its most typical instances are.

    The cosine of an instance with the nearest prototype of a class is that class's score; a bag's score is the mean of
    its `top`
    share of instances. So an answer can be traced to the instances that gave it.

    Args:
        width: Width of an instance.
        prototypes: Of each class.
        out: Classes.
        top: Share of a bag's instances that count for a class.
        temperature: Scores are divided by this.
    """

    def __init__(self, width: int, *, prototypes: int, out: int, top: float, temperature: float = 0.1) -> None:
        super().__init__()
        self.prototypes = nn.Parameter(torch.randn(out, prototypes, width))
        self.top, self.temperature = top, temperature

    def scores(self, bags: Float[Tensor, "bags instances width"]) -> Float[Tensor, "bags instances out"]:
        """Of each instance and class."""
        unit, kinds = F.normalize(bags, dim=-1), F.normalize(self.prototypes, dim=-1)
        return torch.einsum("biw,cpw->bicp", unit, kinds).amax(-1) / self.temperature

    def forward(self, bags: Float[Tensor, "bags instances width"]) -> Float[Tensor, "bags out"]:
        """Logits of each bag."""
        count = max(round(self.top * bags.shape[1]), 1)
        return self.scores(bags).topk(count, dim=1).values.mean(1)
