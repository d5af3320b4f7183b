"""What stands between the layers of a GNN."""

from __future__ import annotations

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from manyviews import distributed
from manyviews.errors import UserError
from manyviews.nets.batch_norm import BatchNorm
from manyviews.objectives.shared import exact

Activation = Literal["prelu", "relu", "elu", "gelu", "none"]
Norm = Literal["none", "batch", "layer"]


class PReLU(nn.Module):
    """max(x, 0) + a min(x, 0) with one learned slope `a` (He et al. 2015), its backward pass in products of whole tensors.

    PyTorch's backward pass takes 8 ms on a CPU for (2708, 512), this one 1.5.
    """

    def __init__(self, slope: float = 0.25) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor([slope]))

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        y: Tensor = _PReLU.apply(x, self.slope.to(x.dtype))  # type: ignore[no-untyped-call]
        return y


class _PReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x, slope)
        with exact(x):
            return F.prelu(x, slope)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, slope = ctx.saved_tensors
        above = torch.ops.aten.threshold_backward(gradient, x, 0)  # the gradient where x > 0, else 0
        below = gradient - above
        to_slope = torch.dot(x.flatten(), below.flatten())[None]
        return below.mul_(slope).add_(above), to_slope


class NodeNorm(nn.Module):
    """Batch norm over all nodes of a batch, all processes' together.

    Raises:
        UserError: In training, where the batch has a single node.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = BatchNorm(width)

    def forward(self, x: Float[Tensor, "nodes width"]) -> Float[Tensor, "nodes width"]:
        if self.training and len(x) == 1 and not distributed.active():
            raise UserError(
                "encoder: `norm: batch` takes statistics over the nodes of a batch, and this batch has 1 node\n"
                "raise train.batch_size, or choose `norm: layer`"
            )
        return self.norm(x)


def make_activation(name: Activation) -> nn.Module:
    """The module of that name."""
    return {"prelu": PReLU, "relu": nn.ReLU, "elu": nn.ELU, "gelu": nn.GELU, "none": nn.Identity}[name]()


def make_norm(name: Norm, width: int) -> nn.Module:
    """The module of that name, for nodes of this width."""
    if name == "batch":
        return NodeNorm(width)
    return nn.LayerNorm(width) if name == "layer" else nn.Identity()
