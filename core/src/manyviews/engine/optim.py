"""The optimiser that a recipe asks for, and the values that its schedules give it at each step."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from manyviews.engine.lars import LARS
from manyviews.engine.schedules import cosine, learning_rate
from manyviews.recipe.model import Optim


def make_optimizer(module: nn.Module, spec: Optim, rates: Mapping[nn.Parameter, float] | None = None) -> Optimizer:
    """AdamW (Loshchilov & Hutter 2019), Adam (Kingma & Ba 2015) with L2, SGD with momentum, or LARS over all that learns.

    Args:
        module: What learns.
        spec: The recipe's.
        rates: Factors of the learning rate of some parameters (layer-wise decay); the others' is 1.
    """
    groups = _groups(module, spec, rates or {})
    if spec.name == "adamw":
        return torch.optim.AdamW(groups, lr=spec.lr, betas=spec.betas, fused=True)
    if spec.name == "adam":
        return torch.optim.Adam(groups, lr=spec.lr, betas=spec.betas, fused=True)
    if spec.name == "sgd":
        return torch.optim.SGD(groups, lr=spec.lr, momentum=spec.momentum)
    for group in groups:
        group["adapt"] = group["decays"]  # what does not decay is not scaled either (BYOL, Barlow Twins, VICReg)
    return LARS(groups, lr=spec.lr, momentum=spec.momentum)


_SHIFTS = re.compile(r"(^|_)(bias(es)?|shift|scale|gamma|beta|tokens?|embed(ding)?s?|pos(itions?)?)(_|$)")


def decays(owner: nn.Module, name: str, parameter: nn.Parameter) -> bool:
    """Whether weight decay is for this parameter: for matrices and kernels that are multiplied with what comes in.

    Not for norms, biases, embeddings and tokens, which are added or looked up: a small one is no simpler than a large one
    (the practice of BERT, ViT, MAE, DINO, Swin and FT-Transformer). These are: all with fewer than two axes; a norm's and
    an embedding table's; and others of two axes or more by their own name, `cls_token`, `position_embeddings`,
    `relative_position_bias_table`, `bias`, `scale`, since nothing else tells them from a matrix.

    Args:
        owner: The module that the parameter stands in.
        name: Its name there.
        parameter: The parameter.
    """
    table = isinstance(owner, nn.Embedding | nn.EmbeddingBag) or "Norm" in type(owner).__name__
    return parameter.ndim > 1 and not table and not _SHIFTS.search(name)


def _groups(module: nn.Module, spec: Optim, rates: Mapping[nn.Parameter, float]) -> list[dict[str, Any]]:
    """Parameters that decay and those that do not; all decay where the recipe says so. Each once, however many share it.

    A pair of groups for each factor of the learning rate (`factor`), 1 first.
    """
    decayed: dict[nn.Parameter, bool] = {}
    for owner in module.modules():
        for name, parameter in owner.named_parameters(recurse=False):
            if parameter.requires_grad:
                decayed.setdefault(parameter, spec.decay_norms_and_biases or decays(owner, name, parameter))
    factors = sorted({rates.get(parameter, 1.0) for parameter in decayed} | {1.0}, reverse=True)
    factors.insert(0, factors.pop(factors.index(1.0)))
    return [
        {
            "params": [p for p, decay in decayed.items() if decay == decaying and rates.get(p, 1.0) == factor],
            "weight_decay": spec.weight_decay if decaying else 0.0,
            "decays": decaying,
            "factor": factor,
        }
        for factor in factors
        for decaying in (True, False)
    ]


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
        group["lr"] = rate * group["factor"]
        if spec.final_weight_decay is not None and group["decays"]:
            group["weight_decay"] = cosine(spec.weight_decay, spec.final_weight_decay, step / steps)
    return rate
