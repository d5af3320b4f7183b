"""From maps of patches to a class for every pixel."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class UpHead(nn.Module):
    """Convolutions between doublings of the size, as many as a patch has halvings.

    Args:
        inwards: Channels of the map.
        width: Channels of the head.
        classes: Classes.
        doublings: Doublings of the size; what is left is made up for by interpolation.
    """

    def __init__(self, inwards: int, width: int, classes: int, doublings: int) -> None:
        super().__init__()
        self.inwards = nn.Conv2d(inwards, width, 1)
        self.steps = nn.ModuleList(nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.GELU()) for _ in range(doublings))
        self.out = nn.Conv2d(width, classes, 1)

    def forward(
        self, features: Float[Tensor, "tiles inwards h w"], size: tuple[int, ...]
    ) -> Float[Tensor, "tiles classes rows cols"]:
        y = F.gelu(self.inwards(features))
        for step in self.steps:
            y = step(F.interpolate(y, scale_factor=2.0, mode="bilinear"))
        logits: Tensor = self.out(y)
        return logits if logits.shape[-2:] == torch.Size(size) else F.interpolate(logits, size=size, mode="bilinear")


def doublings(patch: int) -> int:
    """So many halvings lead to a patch of this side."""
    return max(patch, 1).bit_length() - 1
