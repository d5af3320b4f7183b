"""Soft Dice of label maps (Milletari et al. 2016, V-Net): of a pretext's steps, and of segmentations."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from manyviews import distributed


def soft_dice(
    probabilities: Float[Tensor, "samples classes *size"],
    truth: Int[Tensor, "samples *size"],
    known: Bool[Tensor, "samples *size"],
    smooth: float = 1e-5,
) -> Float[Tensor, "classes"]:
    """2 Σ p y / (Σ p + Σ y) over the known places of all processes' batches, for each class; 1 for one that is neither said
    nor there."""
    weight = known[:, None].to(probabilities.dtype)
    places = F.one_hot(truth.clamp(min=0), probabilities.shape[1]).movedim(-1, 1).to(probabilities.dtype) * weight
    probabilities = probabilities * weight
    over = (0, *range(2, probabilities.dim()))
    parts = probabilities * places, probabilities, places
    both, said, there = distributed.total(torch.stack([part.sum(over) for part in parts]))
    overlap: Tensor = (2 * both + smooth) / (said + there + smooth)
    return overlap
