"""The optimiser that a recipe asks for, and the values that its schedules give it at each step."""

from __future__ import annotations

import re

import torch
from torch import nn
from torch.optim import Optimizer

from manyviews.engine.lars import LARS
from manyviews.engine.schedules import cosine, learning_rate
from manyviews.recipe.model import Optim


def make_optimizer(module: nn.Module, spec: Optim) -> Optimizer:
    """AdamW (Loshchilov & Hutter 2019), Adam (Kingma & Ba 2015) with L2, SGD with momentum, or LARS over all that learns."""
    groups = _groups(module, spec)
    if spec.name == "adamw":
        return torch.optim.AdamW(groups, lr=spec.lr, betas=spec.betas, fused=True)
    if spec.name == "adam":
        return torch.optim.Adam(groups, lr=spec.lr, betas=spec.betas, fused=True)
    if spec.name == "sgd":
        return torch.optim.SGD(groups, lr=spec.lr, momentum=spec.momentum)
    groups[1]["adapt"] = False  # what does not decay is not scaled either (BYOL, Barlow Twins, VICReg)
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


def _groups(module: nn.Module, spec: Optim) -> list[dict[str, object]]:
    """Parameters that decay and those that do not; all decay where the recipe says so. Each once, however many share it."""
    decayed: dict[nn.Parameter, bool] = {}
    for owner in module.modules():
        for name, parameter in owner.named_parameters(recurse=False):
            if parameter.requires_grad:
                decayed.setdefault(parameter, spec.decay_norms_and_biases or decays(owner, name, parameter))
    return [
        {"params": [p for p, decay in decayed.items() if decay], "weight_decay": spec.weight_decay},
        {"params": [p for p, decay in decayed.items() if not decay], "weight_decay": 0.0},
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
        group["lr"] = rate
    if spec.final_weight_decay is not None:
        optimizer.param_groups[0]["weight_decay"] = cosine(spec.weight_decay, spec.final_weight_decay, step / steps)
    return rate
