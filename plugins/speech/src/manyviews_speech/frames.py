"""Frames to tokens: so many frames stacked, clip by clip."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from manyviews.lengths import Lengths


def stacked_lengths(frames: Lengths, stack: int) -> Lengths:
    """Tokens of each clip: a last one that is not full counts."""
    return frames.map(lambda number: -(-number // stack))


def stack_index(
    frames: Lengths, tokens: Lengths, stack: int
) -> tuple[Int[Tensor, "tokens stack"], Bool[Tensor, "tokens stack"]]:
    """The frames of each token, and which of them are beyond their clip's end (and then name its last frame)."""
    owners = tokens.owners()
    place = tokens.places()[:, None] * stack + torch.arange(stack, device=owners.device)
    last = frames.tensor[owners][:, None] - 1
    return frames.starts()[owners][:, None] + torch.minimum(place, last), place > last


def stack_frames(
    features: Float[Tensor, "frames channels"],
    index: Int[Tensor, "tokens stack"],
    beyond: Bool[Tensor, "tokens stack"],
    fill: float = 0.0,
) -> Float[Tensor, "tokens content"]:
    """The frames of each token end to end; `fill` beyond a clip's end (0 is the mean of standardised features)."""
    return features[index].masked_fill(beyond[..., None], fill).flatten(1)
