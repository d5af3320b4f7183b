"""Bands of frames or of channels, one or several for each clip, drawn for a whole ragged batch at once."""

from __future__ import annotations

import torch
from jaxtyping import Bool
from torch import Tensor

from manyviews.lengths import Lengths


def channel_bands(
    clips: int, channels: int, widest: int, generator: torch.Generator, device: torch.device
) -> Bool[Tensor, "clips channels"]:
    """A band of 0 to `widest` channels of each clip, anywhere (SpecAugment, Park et al. 2019, section 2)."""
    widest = min(widest, channels)
    width = torch.randint(0, widest + 1, (clips, 1), generator=generator, device=device)
    start = torch.rand(clips, 1, generator=generator, device=device) * (channels - width + 1)
    place = torch.arange(channels, device=device)
    return (place >= start.floor()) & (place < start.floor() + width)


def frame_bands(frames: Lengths, widest: int, share: float, generator: torch.Generator) -> Bool[Tensor, "frames"]:
    """A band of 0 to `widest` frames of each clip, and no more than `share` of it."""
    device = frames.tensor.device
    uniform = torch.rand(2, len(frames), generator=generator, device=device)
    most = (frames.tensor * share).floor().clamp(max=widest)
    width = (uniform[0] * (most + 1)).floor()
    start = (uniform[1] * (frames.tensor - width + 1)).floor()
    owners, place = frames.owners(), frames.places()
    return (place >= start[owners]) & (place < (start + width)[owners])
