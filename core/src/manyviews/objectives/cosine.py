"""Cosines of predictions and targets, as large as the largest things of a step, in as few passes over them as can be."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

EPS = 1e-8
"""Least length of a vector, as in PyTorch's cosine."""


def cosines(
    prediction: Float[Tensor, "rows channels"], target: Float[Tensor, "rows channels"]
) -> tuple[Float[Tensor, "rows"], Bool[Tensor, "rows"]]:
    """p . t / (|p| |t|) of each row over the channels in which the target is not NaN; and which rows have any.

    The prediction alone gets a gradient. It is written out: autograd goes over both factors nine times for it, this twice.
    """
    result: tuple[Tensor, Tensor] = _Cosines.apply(prediction, target)  # type: ignore[no-untyped-call]
    return result


class _Cosines(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, prediction: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        # 1 and 0 in place of true and false, which takes a sixth of the time on a CPU
        there = torch.eq(target, target, out=torch.empty_like(target))
        known = there.amax(-1) > 0
        one, other = there.mul_(prediction), target.nan_to_num(0.0, torch.inf, -torch.inf)
        lengths = [torch.linalg.vector_norm(x, dim=-1).clamp(min=EPS) for x in (one, other)]
        cosine = torch.linalg.vecdot(one, other) / (lengths[0] * lengths[1])
        ctx.save_for_backward(one, other, cosine, *lengths)
        ctx.mark_non_differentiable(known)
        return cosine, known

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor, None]:
        """d cos / d p = t / (|p| |t|) - cos p / |p|^2, without the second term where |p| is below EPS."""
        one, other, cosine, length, across = ctx.saved_tensors
        back = torch.where(length > EPS, -gradient * cosine / length**2, 0.0)
        to_one = other * (gradient / (length * across))[:, None]
        return to_one.addcmul_(one, back[:, None]), None
