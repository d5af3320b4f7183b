"""From waveforms to frames of features, for a whole ragged batch at once and without padding.

The frames of all clips are cut out of one flat waveform by index, so a clip's features never depend on what it is
batched with: torchaudio's transforms take padded batches, whose ends they mirror and smear. The filterbanks, windows
and cosine transform are torchaudio's, and so are the results, to 1e-5 (tested).
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from manyviews.lengths import Lengths
from manyviews_speech.batch import AudioBatch
from manyviews_speech.spec import AudioSpec, FeatureSpec
from manyviews_speech.torchaudio_cpu import load

PREEMPHASIS, POVEY, LIFTER = 0.97, 0.85, 22.0
"""Kaldi's constants."""
LOG_FLOOR = 1e-6
"""Added before the logarithm of `logmel`; Kaldi's own features floor at float32's epsilon."""


class Frontend(nn.Module):
    """Log-mel features (torchaudio's MelSpectrogram, centred frames) or Kaldi's `fbank` and `mfcc` (whole frames, no dither).

    Args:
        features: What to compute.
        rate: Samples a second.
        mean: Of each channel over the training frames; empty: nothing is subtracted.
        std: The same, divided by.
    """

    window: Tensor
    bank: Tensor
    centres: Tensor
    mean: Tensor
    std: Tensor

    def __init__(self, features: FeatureSpec, rate: int, mean: tuple[float, ...] = (), std: tuple[float, ...] = ()) -> None:
        super().__init__()
        self.features, self.kaldi = features, features.kind != "logmel"
        self.hop, self.size = round(rate * features.hop / 1000), round(rate * features.window / 1000)
        self.bins = 1 << (self.size - 1).bit_length()
        """Length of the Fourier transform: the next power of two, as Kaldi's."""
        high = features.high or rate / 2
        bands = features.channels if features.kind != "mfcc" else max(features.channels, 23)
        self.register_buffer("window", _window(self.size, self.bins, self.kaldi), persistent=False)
        self.register_buffer("bank", _bank(bands, self.bins, rate, features.low, high, self.kaldi), persistent=False)
        self.register_buffer("centres", _centres(bands, features.low, high), persistent=False)
        self.register_buffer(
            "cosines", _cosines(features.channels, bands) if features.kind == "mfcc" else None, persistent=False
        )
        self.register_buffer("mean", torch.tensor(mean), persistent=False)
        self.register_buffer("std", torch.tensor(std), persistent=False)

    @classmethod
    def of(cls, spec: AudioSpec) -> Frontend:
        """As a spec says; its features must not be None."""
        assert spec.features is not None
        return cls(spec.features, spec.rate, spec.mean, spec.std)

    @property
    def shortest(self) -> int:
        """Samples of the shortest clip that has a frame (and, centred, enough to mirror its ends)."""
        return self.size if self.kaldi else self.bins // 2 + 1

    def count(self, points: int) -> int:
        """Frames of a clip of so many samples."""
        if self.kaldi:
            return 0 if points < self.size else 1 + (points - self.size) // self.hop
        return 1 + points // self.hop

    def points(self, frames: int) -> int:
        """Samples of a clip of so many frames, the fewest that have them."""
        return (frames - 1) * self.hop + (self.size if self.kaldi else 0)

    def unstandardised(self, features: Float[Tensor, "frames channels"]) -> Float[Tensor, "frames channels"]:
        """As they were before the training data's mean and deviation were taken out."""
        return features * self.std + self.mean if len(self.mean) else features

    def forward(self, batch: AudioBatch) -> AudioBatch:
        """The batch with its features, standardised; itself where they are there already."""
        if batch.features is not None:
            return batch
        assert batch.frames is not None, "a source whose spec has features counts the frames"
        return replace(batch, features=self.standardised(self.raw(batch.wave, batch.points, batch.frames), batch.frames))

    def standardised(self, raw: Float[Tensor, "frames channels"], frames: Lengths) -> Float[Tensor, "frames channels"]:
        """By the training data's mean and deviation, or by each clip's own."""
        if self.features.norm == "data":
            return (raw - self.mean.to(raw.dtype)) / self.std.to(raw.dtype) if len(self.mean) else raw
        owners, together = frames.owners(), self.features.norm == "level"

        def mean(x: Float[Tensor, "frames channels"]) -> Float[Tensor, "clips channels_or_one"]:
            return frames.mean(x).mean(1, keepdim=True) if together else frames.mean(x)

        centred = raw - mean(raw)[owners]
        deviation = mean(centred.square()).sqrt()
        return centred / deviation.clamp(min=1e-5)[owners]

    def raw(self, wave: Float[Tensor, "points"], points: Lengths, frames: Lengths) -> Float[Tensor, "frames channels"]:
        """Features as they are, always in float32: powers of quiet sound vanish in half precision."""
        with torch.autocast(wave.device.type, enabled=False):
            cut = self._cut(wave.to(self.window.dtype), points, frames)
            if self.kaldi:
                cut = cut - cut.mean(1, keepdim=True)
                cut = cut - PREEMPHASIS * torch.cat([cut[:, :1], cut[:, :-1]], dim=1)
            spectrum = torch.fft.rfft(cut * self.window, n=self.bins)
            power = spectrum.real.square() + spectrum.imag.square()
            bands = power @ self.bank
            if not self.kaldi:
                return (bands + LOG_FLOOR).log()
            logs = bands.clamp(min=torch.finfo(torch.float32).eps).log()
            return logs if self.cosines is None else logs @ self.cosines

    def _cut(self, wave: Float[Tensor, "points"], points: Lengths, frames: Lengths) -> Float[Tensor, "frames size"]:
        """Every frame of every clip; a centred frame reaches half a transform beyond its clip's ends, which are mirrored."""
        size = self.size if self.kaldi else self.bins
        if len(points) == 1:
            edged = wave if self.kaldi else nn.functional.pad(wave[None], (size // 2, size // 2), mode="reflect")[0]
            return edged.unfold(0, size, self.hop)
        if not self.kaldi:
            wave, points = _mirrored(wave, points, size // 2)
        starts = points.starts()[frames.owners()] + frames.places() * self.hop
        return wave.unfold(0, size, 1)[starts]


def _mirrored(wave: Float[Tensor, "points"], points: Lengths, edge: int) -> tuple[Float[Tensor, "longer"], Lengths]:
    """Each clip with `edge` samples mirrored at both ends."""
    longer = Lengths(
        points.tensor + 2 * edge,
        points.total + 2 * edge * len(points),
        points.longest + 2 * edge,
        None if points.each is None else points.each + 2 * edge,
    )
    owners = longer.owners()
    last = points.tensor[owners] - 1
    place = (longer.places() - edge).abs()
    place = last - (last - place).abs()
    return wave[points.starts()[owners] + place], longer


def _window(size: int, bins: int, kaldi: bool) -> Float[Tensor, "size"]:
    if kaldi:
        return torch.hann_window(size, periodic=False).pow(POVEY)
    left = (bins - size) // 2
    return nn.functional.pad(torch.hann_window(size), (left, bins - size - left))


def _bank(bands: int, bins: int, rate: int, low: float, high: float, kaldi: bool) -> Float[Tensor, "frequencies bands"]:
    torchaudio = load()
    if not kaldi:
        bank: Tensor = torchaudio.functional.melscale_fbanks(bins // 2 + 1, low, high, bands, rate)
        return bank
    from torchaudio.compliance.kaldi import get_mel_banks

    filters = get_mel_banks(bands, bins, float(rate), low, high, 100.0, -500.0, 1.0)[0]
    return nn.functional.pad(filters, (0, 1)).T.contiguous()


def _centres(bands: int, low: float, high: float) -> Float[Tensor, "bands"]:
    """Of mel bands, in Hz: evenly spaced on the scale that torchaudio and Kaldi share, 2595 log10(1 + f / 700)."""
    first, last = math.log1p(low / 700), math.log1p(high / 700)
    return 700 * torch.linspace(first, last, bands + 2)[1:-1].expm1()


def _cosines(channels: int, bands: int) -> Float[Tensor, "bands channels"]:
    """Kaldi's cosine transform with its lifter."""
    torchaudio = load()
    cosines = torchaudio.functional.create_dct(bands, bands, "ortho")[:, :channels]
    cosines[:, 0] = (1 / bands) ** 0.5
    numbers = torch.arange(channels)
    lifter: Tensor = cosines * (1 + 0.5 * LIFTER * torch.sin(torch.pi * numbers / LIFTER))
    return lifter


def deltas(features: Float[Tensor, "frames channels"], frames: Lengths, width: int = 5) -> Float[Tensor, "frames channels"]:
    """Slopes over `width` frames (torchaudio's `compute_deltas`, edges repeated), clip by clip."""
    reach = (width - 1) // 2
    starts, owners, places = frames.starts()[frames.owners()], frames.owners(), frames.places()
    last = frames.tensor[owners] - 1

    def shifted(by: int) -> Float[Tensor, "frames channels"]:
        index: Int[Tensor, "frames"] = starts + torch.minimum((places + by).clamp(min=0), last)
        return features[index]

    slopes = sum(by * (shifted(by) - shifted(-by)) for by in range(1, reach + 1))
    assert isinstance(slopes, Tensor)
    return slopes / (2 * sum(by * by for by in range(1, reach + 1)))
