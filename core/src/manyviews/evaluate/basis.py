"""The principal axes of the features: one factorisation that serves every penalty of a probe.

In these axes ridge regression has a closed form for all penalties at once, and logistic regression is almost perfectly
conditioned after one diagonal scaling (its curvature is bounded by XᵀX / 4; Böhning 1992), so that L-BFGS needs tens
of iterations where it needs hundreds on correlated features. The optimum is the same: the penalty is rotation
invariant.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

LARGEST = 4096
"""Largest min(units, width) that is factorised; beyond, the cubic cost outgrows what it saves."""


@dataclass(frozen=True)
class Basis:
    """Principal axes of centred features."""

    axes: Float[Tensor, "width rank"] | None
    """Orthonormal, float64. None: the features' own axes (too large to factorise)."""
    energies: Float[Tensor, "rank"]
    """Sum of squares along each axis, float64."""

    @classmethod
    def of(cls, x: Float[Tensor, "units width"]) -> Basis:
        """From features centred already; axes without energy are left out. Float64: float32 would square its rounding."""
        units, width = x.shape
        if min(units, width) > LARGEST:
            return cls(None, x.square().sum(0).double())
        if width <= units:
            gram = torch.zeros(width, width, dtype=torch.float64)
            for part in torch.split(x, 4096):
                gram.addmm_(part.double().T, part.double())
            energies, axes = torch.linalg.eigh(gram)
            keep = cls._keep(energies, units)
            return cls(axes[:, keep], energies[keep])
        wide = x.double()
        energies, left = torch.linalg.eigh(wide @ wide.T)
        keep = cls._keep(energies, width)
        return cls(wide.T @ left[:, keep] / energies[keep].sqrt(), energies[keep])

    @staticmethod
    def _keep(energies: Float[Tensor, "rank"], size: int) -> Tensor:
        return energies > energies.max() * size * torch.finfo(torch.float64).eps

    def rotate(self, x: Float[Tensor, "rows width"]) -> Float[Tensor, "rows rank"]:
        """`x` along these axes."""
        return x if self.axes is None else x @ self.axes.to(x.dtype)

    def back(self, weight: Float[Tensor, "rank outputs"]) -> Float[Tensor, "width outputs"]:
        """Weights for `rotate(x)` as weights for `x`."""
        return weight if self.axes is None else self.axes.to(weight.dtype) @ weight
