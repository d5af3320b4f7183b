"""What may happen to a recorded sound on its way: noise, another sound, an echoing room, another gain, speed or pitch."""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor, nn

from manyviews.lengths import Lengths
from manyviews.moving import sent
from manyviews_speech.torchaudio_cpu import load

QUIET = 1e-8
"""Added to powers: silence has none, and what is added to it is silent too."""


def uniform(lengths: Lengths, low: float, high: float, generator: torch.Generator) -> Float[Tensor, "clips"]:
    """One number a clip."""
    return low + (high - low) * torch.rand(len(lengths), generator=generator, device=lengths.tensor.device)


def gained(wave: Float[Tensor, "points"], points: Lengths, decibels: Float[Tensor, "clips"]) -> Float[Tensor, "points"]:
    """Louder or quieter by so many decibels."""
    return wave * (10 ** (decibels / 20))[points.owners()]


def added(
    wave: Float[Tensor, "points"], points: Lengths, other: Float[Tensor, "points"], snr: Float[Tensor, "clips"]
) -> Float[Tensor, "points"]:
    """With another sound, `snr` decibels below the clip in power."""
    powers = points.mean(wave.square()[:, None])[:, 0], points.mean(other.square()[:, None])[:, 0]
    factor = (powers[0] / (powers[1] + QUIET) * 10 ** (-snr / 10)).sqrt()
    return wave + factor[points.owners()] * other


def noise(points: Lengths, colour: float, generator: torch.Generator) -> Float[Tensor, "points"]:
    """Gaussian noise whose power falls with frequency as f^-colour: 0 is white, 1 pink."""
    white = torch.randn(points.total, generator=generator, device=points.tensor.device)
    if not colour:
        return white
    spectrum = torch.fft.rfft(white)
    number = torch.arange(len(spectrum), device=white.device).clamp(min=1)
    return torch.fft.irfft(spectrum * number ** (-colour / 2), n=points.total)


def from_others(wave: Float[Tensor, "points"], points: Lengths, generator: torch.Generator) -> Float[Tensor, "points"]:
    """For each clip another clip of the batch, repeated or cut to its length."""
    partner = torch.randperm(len(points), generator=generator, device=wave.device)[points.owners()]
    return wave[points.starts()[partner] + points.places() % points.tensor[partner]]


def reverberated(
    wave: Float[Tensor, "points"], points: Lengths, rate: int, decay: Float[Tensor, "clips"], generator: torch.Generator
) -> Float[Tensor, "points"]:
    """In a room whose echo falls by 60 dB in `decay` seconds: exponentially damped noise behind the direct sound (Polack 1988).

    The power of a clip stays as it was.
    """
    longest = max(round(rate * 0.5), 1)
    time = torch.arange(longest, device=wave.device) / rate
    damped = torch.exp(-6.9078 * time / decay[:, None].clamp(min=1e-3))  # ln 10^3: 60 dB in amplitude
    response = damped * torch.randn(len(points), longest, generator=generator, device=wave.device)
    response = response / response.square().sum(1, keepdim=True).sqrt().clamp(min=QUIET)
    response[:, 0] = 1.0
    padded = points.pad(wave)
    size = padded.shape[1] + longest - 1
    made = torch.fft.irfft(torch.fft.rfft(padded, size) * torch.fft.rfft(response, size), size)[:, : padded.shape[1]]
    echoing = points.unpad(made)
    before, after = points.mean(wave.square()[:, None])[:, 0], points.mean(echoing.square()[:, None])[:, 0]
    return echoing * (before / (after + QUIET)).sqrt()[points.owners()]


def sped(wave: Float[Tensor, "points"], points: Lengths, tenths: int) -> tuple[Float[Tensor, "longer"], Lengths]:
    """Faster (and higher) by `tenths` / 10, by resampling: 9 is nine tenths of the speed (Ko et al. 2015)."""
    if tenths == 10:
        return wave, points
    made = _resampler(tenths, wave.device, wave.dtype)(points.pad(wave))
    lengths = points.map(lambda number: -(-number * 10 // tenths))
    return lengths.unpad(made[:, : lengths.longest]), lengths


@lru_cache(maxsize=64)
def _resampler(tenths: int, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """Its filter is made on the host and kept: made on a device, a step would wait for it each time."""
    made: nn.Module = load().transforms.Resample(tenths, 10, dtype=dtype)
    made.kernel = sent(made.get_buffer("kernel"), device)
    return made


def pitched(wave: Float[Tensor, "points"], points: Lengths, rate: int, semitones: int) -> Float[Tensor, "points"]:
    """Higher by so many semitones at the same speed (torchaudio's phase vocoder)."""
    if not semitones:
        return wave
    made = load().functional.pitch_shift(points.pad(wave), rate, semitones)
    return points.unpad(made[:, : points.longest])
