"""Heads: what stands between an encoder's units and a joint-embedding loss.

BatchNorm in a head takes its statistics from the units of all processes, as the papers have it. `norm: layer` needs neither
that exchange nor a large batch.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews import distributed
from manyviews.errors import UserError
from manyviews.nets.batch_norm import BatchNorm

Norm = Literal["batch", "layer", "none"]
"""What normalises the hidden layers of a head."""


def _norm(norm: Norm, width: int) -> nn.Module:
    if norm == "batch":
        return BatchNorm(width)
    return nn.LayerNorm(width) if norm == "layer" else nn.Identity()


class MLPHead(nn.Module):
    """`layers - 1` times linear, norm, ReLU, and a last linear layer: SimCLR's, BYOL's and VICReg's projector and predictor.

    Args:
        width: Width of a unit.
        hidden: Width of the hidden layers.
        out: Width of the output.
        layers: Linear layers in all; 1 is a linear map.
        norm: What normalises the hidden layers.

    Raises:
        UserError: In training, where a BatchNorm is given a single unit.
    """

    def __init__(self, width: int, *, hidden: int, out: int, layers: int = 2, norm: Norm = "batch") -> None:
        super().__init__()
        widths = [width, *[hidden] * (layers - 1)]
        blocks: list[nn.Module] = []
        for one, two in pairwise(widths):
            blocks += [nn.Linear(one, two, bias=norm == "none"), _norm(norm, two), nn.ReLU()]
        self.layers = nn.Sequential(*blocks, nn.Linear(widths[-1], out))

    def forward(self, units: Float[Tensor, "units width"]) -> Float[Tensor, "units out"]:
        alone = len(units) == 1 and not distributed.active()
        if self.training and alone and any(isinstance(layer, BatchNorm) for layer in self.layers):
            raise UserError(
                "the head's BatchNorm takes statistics over the units of a batch, and this batch has 1 unit\n"
                "give at least 2: a larger `train.batch_size` or `unit: token`; or choose `norm: layer` for the head"
            )
        return self.layers(units)  # type: ignore[no-any-return]


class Prototypes(nn.Module):
    """Cosine similarity with learned unit vectors: a linear layer whose weight norms are fixed to 1.

    DINO's weight-normalised last layer with `norm_last_layer` (Caron 2021, appendix): the norms stay 1, which its
    authors advise for stability.
    """

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.trunc_normal_(torch.empty(out, width), std=0.02))

    def forward(self, units: Float[Tensor, "units width"]) -> Float[Tensor, "units out"]:
        return F.linear(F.normalize(units, dim=1), F.normalize(self.weight, dim=1))


class DINOHead(nn.Module):
    """An MLP to a bottleneck, L2 normalisation, and weight-normalised prototypes (Caron 2021, section 3.1 and appendix C).

    Args:
        width: Width of a unit.
        hidden: Width of the hidden layers.
        bottleneck: Width of the normalised embedding.
        out: Number of prototypes.
        layers: Linear layers before the prototypes.
    """

    def __init__(self, width: int, *, hidden: int, bottleneck: int, out: int, layers: int = 3) -> None:
        super().__init__()
        widths = [width, *[hidden] * (layers - 1), bottleneck]
        blocks: list[nn.Module] = []
        for one, two in pairwise(widths):
            blocks += [nn.GELU(), nn.Linear(one, two)]
        self.layers = nn.Sequential(*blocks[1:], Prototypes(bottleneck, out))
        self.apply(self._start)

    @staticmethod
    def _start(module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)

    def forward(self, units: Float[Tensor, "units width"]) -> Float[Tensor, "units out"]:
        return self.layers(units)  # type: ignore[no-any-return]
