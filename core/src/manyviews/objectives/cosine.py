"""Cosines of predictions and targets, as large as the largest things of a step, in as few passes over them as can be."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

EPS = 1e-8
"""Least length of a vector, as in PyTorch's cosine."""


def cosines(one: Float[Tensor, "rows channels"], other: Float[Tensor, "rows channels"]) -> Float[Tensor, "rows"]:
    """one . other / (|one| |other|) of each row, with a gradient to the first factor alone, which is a prediction.

    The gradient is written out: autograd goes over both factors nine times for it, this twice.
    """
    result: Tensor = _Cosines.apply(one, other)  # type: ignore[no-untyped-call]
    return result


class _Cosines(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, one: Tensor, other: Tensor) -> Tensor:
        lengths = [torch.linalg.vector_norm(x, dim=-1).clamp(min=EPS) for x in (one, other)]
        cosine: Tensor = torch.linalg.vecdot(one, other) / (lengths[0] * lengths[1])
        ctx.save_for_backward(one, other, cosine, *lengths)
        return cosine

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """d cos / d one = other / (|one| |other|) - cos one / |one|^2, without the second term where |one| is below EPS."""
        one, other, cosine, length, across = ctx.saved_tensors
        back = torch.where(length > EPS, -gradient * cosine / length**2, 0.0)
        to_one = other * (gradient / (length * across))[:, None]
        return to_one.addcmul_(one, back[:, None]), None
