"""The optimiser that a recipe asks for, and the values that its schedules give it at each step."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import Optimizer

from manyviews.engine.lars import LARS
from manyviews.engine.schedules import cosine, learning_rate
from manyviews.recipe.model import Optim


def make_optimizer(module: nn.Module, spec: Optim) -> Optimizer:
    """AdamW (Loshchilov & Hutter 2019), Adam (Kingma & Ba 2015) with L2, SGD with momentum, or LARS over all that learns."""
    groups = list(_groups(module.parameters(), spec))
    if spec.name == "adamw":
        return torch.optim.AdamW(groups, lr=spec.lr, betas=spec.betas, fused=True)
    if spec.name == "adam":
        return torch.optim.Adam(groups, lr=spec.lr, betas=spec.betas, fused=True)
    if spec.name == "sgd":
        return torch.optim.SGD(groups, lr=spec.lr, momentum=spec.momentum)
    return LARS(groups, lr=spec.lr, momentum=spec.momentum)


def _groups(parameters: Iterable[nn.Parameter], spec: Optim) -> Iterable[dict[str, object]]:
    """Matrices decay; norms, biases and other vectors do not, unless the recipe says so."""
    learning = [p for p in parameters if p.requires_grad]
    decayed = [p for p in learning if p.ndim > 1 or spec.decay_norms_and_biases]
    chosen = {id(p) for p in decayed}
    yield {"params": decayed, "weight_decay": spec.weight_decay}
    yield {"params": [p for p in learning if id(p) not in chosen], "weight_decay": 0.0}


def set_step(optimizer: Optimizer, spec: Optim, step: int, steps: int) -> float:
    """Give the optimiser its rate and weight decay for step `step` (from 0); returns the rate."""
    rate = learning_rate(
        step,
        steps,
        peak=spec.lr,
        final=spec.final_lr,
        warmup=round(spec.warmup * steps),
        decay=round(spec.decay * steps),
        schedule=spec.schedule,
    )
    for group in optimizer.param_groups:
        group["lr"] = rate
    if spec.final_weight_decay is not None:
        optimizer.param_groups[0]["weight_decay"] = cosine(spec.weight_decay, spec.final_weight_decay, step / steps)
    return rate
