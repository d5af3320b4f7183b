"""Features centred, and scaled where asked, by statistics of the units that a probe is fitted on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Standardizer:
    """x -> (x - mean) / scale."""

    mean: Float[Tensor, "width"]
    scale: Float[Tensor, "width"]

    @classmethod
    def fit(cls, x: Float[Tensor, "fit width"], scale: bool) -> Standardizer:
        """Mean and standard deviation of `x`, summed up in float64; `scale=False` only centres.

        A feature whose spread is no more than the rounding of its values is left unscaled: blown up to unit
        variance, that rounding would be taken for information, and a collapsed embedding for a live one.
        """
        std, mean = (part.squeeze(0) for part in torch.std_mean(x.double(), dim=0, correction=0, keepdim=True))
        rounding = 10 * torch.finfo(torch.float32).eps * x.abs().amax(0).double()
        scales = std.where(std > rounding, 1.0) if scale else torch.ones_like(std)
        return cls(mean.float(), scales.float())

    def __call__(self, x: Float[Tensor, "rows width"]) -> Float[Tensor, "rows width"]:
        return (x - self.mean) / self.scale
