"""What a microphone, a room and a throat do to a spectrum: other clips mixed in, noise, a smooth gain, warped axes.

All of it happens to log powers of whole batches, where it costs a few sums; clips are standardised anew afterwards.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from manyviews.errors import UserError
from manyviews.lengths import Lengths
from manyviews_speech.batch import AudioBatch
from manyviews_speech.frontend import Frontend
from manyviews_speech.spec import AudioSpec

NEPERS = math.log(10) / 10
"""Log powers to a decibel."""
BENDS = 4
"""Cosines that a smooth gain is made of."""


@dataclass(frozen=True)
class Channel:
    """How much may happen; 0 or None: nothing."""

    mixup: float
    """Most of another clip."""
    warp: float
    """Most that channels are stretched, and moved by."""
    tilt: float
    """Standard deviation of the gain in decibels."""
    floor: tuple[float, float] | None
    """Range of decibels below the loudest cell, of noise."""
    throat: float = 0.0
    """Most that frequencies in Hz are raised or lowered by: a shorter or longer vocal tract."""

    def __call__(self, batch: AudioBatch, frontend: Frontend, generator: torch.Generator) -> AudioBatch:
        """The same clips, altered; their waveforms are as before."""
        frames = batch.frames
        assert frames is not None
        if not (self.mixup or self.throat or self.warp or self.tilt or self.floor):
            return batch
        raw = _raw(batch, frontend)
        if self.mixup:
            raw = mixed(raw, frames, self.mixup, generator)
        if self.throat:
            raw = lengthened(raw, frames, frontend.centres, self.throat, generator)
        if self.warp:
            raw = warped(raw, frames, self.warp, generator)
        if self.tilt:
            raw = raw + smooth(len(frames), raw, NEPERS * self.tilt, generator)[frames.owners()]
        if self.floor is not None:
            raw = noisy(raw, frames, self.floor, generator)
        return replace(batch, features=frontend.standardised(raw, frames))


def channel_of(
    spec: AudioSpec, mixup: float, warp: float, tilt: float, floor: tuple[float, float] | None, throat: float
) -> Channel:
    """For the features of a spec.

    Raises:
        UserError: They have no frequencies that a throat could raise.
    """
    if throat and spec.features is not None and spec.features.kind == "mfcc":
        raise UserError("views.throat: cepstral coefficients are no frequencies; take `data.features.kind: logmel` or `fbank`")
    return Channel(mixup, warp, tilt, floor, throat)


def _raw(batch: AudioBatch, frontend: Frontend) -> Float[Tensor, "frames channels"]:
    """Before standardising; where each clip had its own mean and deviation, from the waveform."""
    assert batch.features is not None
    assert batch.frames is not None
    if frontend.features.norm == "data":
        return frontend.unstandardised(batch.features)
    return frontend.raw(batch.wave, batch.points, batch.frames).to(batch.features.dtype)


def mixed(
    raw: Float[Tensor, "frames channels"], frames: Lengths, most: float, generator: torch.Generator
) -> Float[Tensor, "frames channels"]:
    """log((1 - a) exp x + a exp y) with another clip's frames y, a up to `most` (Niizumi et al. 2021, BYOL-A, equation 3)."""
    device = raw.device
    partner = torch.randperm(len(frames), generator=generator, device=device)[frames.owners()]
    offset = (torch.rand(len(frames), generator=generator, device=device) * frames.tensor).long()
    place = (frames.places() + offset[frames.owners()]) % frames.tensor[partner]
    ratio = most * torch.rand(len(frames), 1, generator=generator, device=device)[frames.owners()]
    other = raw[frames.starts()[partner] + place]
    return torch.logaddexp(raw + (1 - ratio).log(), other + ratio.clamp(min=torch.finfo(raw.dtype).tiny).log())


def warped(
    raw: Float[Tensor, "frames channels"], frames: Lengths, most: float, generator: torch.Generator
) -> Float[Tensor, "frames channels"]:
    """Channels of each clip read off at stretched and moved places, between them linearly; time stays."""
    channels, device = raw.shape[1], raw.device
    uniform = 2 * torch.rand(2, len(frames), 1, generator=generator, device=device) - 1
    place = torch.arange(channels, device=device) * (1 + most * uniform[0]) + most * channels * uniform[1] / 2
    return _read_at(raw, place, frames)


def lengthened(
    raw: Float[Tensor, "frames channels"],
    frames: Lengths,
    centres: Float[Tensor, "channels"],
    most: float,
    generator: torch.Generator,
) -> Float[Tensor, "frames channels"]:
    """Vocal tract length perturbation (Jaitly & Hinton 2013): the channel of f Hz shows what stood at f times a clip's factor.

    Factors are of 1 ± `most`. What would lie beyond the highest channel is the highest one; the paper bends the axis there.

    Args:
        centres: In Hz, ascending, of the channels.
    """
    factor = 1 + most * (2 * torch.rand(len(frames), 1, generator=generator, device=raw.device) - 1)
    wanted = centres * factor
    high = torch.searchsorted(centres, wanted.contiguous()).clamp(1, max(len(centres) - 1, 1))
    below, above = centres[high - 1], centres[high.clamp(max=len(centres) - 1)]
    return _read_at(raw, high - 1 + (wanted - below) / (above - below).clamp(min=1e-6), frames)


def _read_at(
    raw: Float[Tensor, "frames channels"], place: Float[Tensor, "clips channels"], frames: Lengths
) -> Float[Tensor, "frames channels"]:
    """Channels of each clip at these places, between two channels linearly."""
    last = raw.shape[1] - 1
    place = place.clamp(0, last)[frames.owners()]
    low = place.floor().long().clamp(max=max(last - 1, 0))
    part = place - low
    return torch.lerp(raw.gather(1, low), raw.gather(1, (low + 1).clamp(max=last)), part.to(raw.dtype))


def smooth(
    clips: int, like: Float[Tensor, "frames channels"], deviation: float, generator: torch.Generator
) -> Float[Tensor, "clips channels"]:
    """A gain over channels for each clip: a few cosines, which leave the mean as it is."""
    channels, device = like.shape[1], like.device
    place = (torch.arange(channels, device=device) + 0.5) / channels
    bends = torch.cos(math.pi * torch.arange(1, BENDS + 1, device=device)[:, None] * place)
    weights = torch.randn(clips, BENDS, generator=generator, device=device)
    return (deviation * math.sqrt(2 / BENDS) * weights @ bends).to(like.dtype)


def noisy(
    raw: Float[Tensor, "frames channels"], frames: Lengths, decibels: tuple[float, float], generator: torch.Generator
) -> Float[Tensor, "frames channels"]:
    """With stationary noise of a smooth spectrum, so far below the loudest cell of a clip."""
    owners, device = frames.owners(), raw.device
    loudest = frames.pad(raw - raw.amin()).amax((1, 2)) + raw.amin()
    below = decibels[0] + (decibels[1] - decibels[0]) * torch.rand(len(frames), generator=generator, device=device)
    spectrum = (loudest - NEPERS * below)[:, None] + smooth(len(frames), raw, NEPERS * 5.0, generator)
    # Powers of Gaussian noise fall exponentially about their mean; those of a band of several bins less widely.
    power = -torch.rand(raw.shape, generator=generator, device=device).clamp(min=1e-6).log()
    return torch.logaddexp(raw, spectrum[owners].to(raw.dtype) + 0.5 * power.log().to(raw.dtype))
