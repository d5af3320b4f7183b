"""LARS, for large batches; PyTorch has none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


class LARS(Optimizer):
    """Layer-wise adaptive rate scaling (You et al. 2017, algorithm 1).

    For each weight: local rate = trust * ||w|| / (||g|| + decay * ||w||); the momentum buffer takes
    v = momentum * v + lr * local * (g + decay * w), and w = w - v. A group with `adapt: False` is updated by SGD with
    momentum, without the scaling: norms and biases, as BYOL, Barlow Twins and VICReg do.
    """

    def __init__(
        self, params: Iterable[Any], lr: float, momentum: float = 0.9, weight_decay: float = 0.0, trust: float = 1e-3
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust, "adapt": True}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One update."""
        assert closure is None, "LARS evaluates no closure"
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)

    def _update(self, weight: Tensor, grad: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        if group["adapt"]:
            grad = scaled(weight, grad, group["weight_decay"], group["trust"])
        elif group["weight_decay"]:
            grad = grad + group["weight_decay"] * weight
        state["momentum"].mul_(group["momentum"]).add_(grad, alpha=group["lr"])
        weight.sub_(state["momentum"])


def scaled(weight: Tensor, grad: Tensor, decay: float, trust: float) -> Tensor:
    """The decayed gradient times the local rate; the rate is 1 where weight or gradient is zero."""
    size, slope = weight.norm(), grad.norm()
    local = trust * size / (slope + decay * size)
    local = torch.where((size > 0) & (slope > 0), local, torch.ones_like(local))
    return (grad + decay * weight) * local
