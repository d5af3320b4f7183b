"""TERA: alter frames in time, in frequency and in magnitude, and ask what was there (Liu et al. 2021, section III)."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from jaxtyping import Bool, Float
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor

from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.mask import Mask
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews.views.span_mask import spans
from manyviews_speech.batch import AudioBatch
from manyviews_speech.spec import AudioSpec
from manyviews_speech.views.bands import channel_bands
from manyviews_speech.views.features import features_of

Share = Annotated[float, Field(ge=0, le=1)]


class Tera(ViewGenerator):
    """One view with altered frames; `masked_reconstruction` with `loss: l1` asks for the altered cells alone.

    Spans of frames are set to zero in most clips, in others exchanged for frames from elsewhere in the clip, or left as
    they are but asked for. A band of channels is set to zero. Noise on the magnitude is not asked for, as in the
    published code.

    Args:
        time: Share of a clip's frames that spans are to cover.
        span: Frames of a span.
        zero: Share of clips whose spans are set to zero.
        swap: Share of clips whose spans show frames from elsewhere; in the rest they stay.
        channels: Widest band of channels set to zero.
        magnitude: Share of clips that noise is added to.
        noise: Standard deviation of that noise.
    """

    gives = frozenset({Trait.ASKED_TOKENS})

    def __init__(
        self,
        spec: AudioSpec,
        /,
        *,
        time: Annotated[float, Field(gt=0, lt=1)] = 0.15,
        span: PositiveInt = 7,
        zero: Share = 0.8,
        swap: Share = 0.1,
        channels: NonNegativeInt = 16,
        magnitude: Share = 0.0,
        noise: NonNegativeFloat = 0.2,
    ) -> None:
        super().__init__()
        self.spec, self.time, self.span, self.zero, self.swap = spec, time, span, zero, swap
        self.channels, self.magnitude, self.noise = channels, magnitude, noise

    def forward(self, batch: AudioBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        features, frames = features_of(batch, self.spec)
        covered = spans(frames, self.time / self.span, self.span, generator)
        band = channel_bands(len(frames), features.shape[1], self.channels, generator, features.device)[frames.owners()]
        altered = self._in_time(features, frames, covered, generator)
        altered = torch.where(band, features.new_zeros(()), altered)
        asked = covered[:, None] | band
        content = features.masked_fill(~asked, torch.nan)
        changed = replace(batch, features=self._louder(altered, frames, generator), frames=frames, content=content)
        everything = torch.ones(1, layout.lengths.total, dtype=torch.bool, device=features.device)
        return (View(changed, layout, asked=Mask(everything, layout.lengths.each, layout.lengths.numbers)),)

    def _in_time(
        self,
        features: Float[Tensor, "frames channels"],
        frames: Lengths,
        covered: Bool[Tensor, "frames"],
        generator: torch.Generator,
    ) -> Float[Tensor, "frames channels"]:
        owners = frames.owners()
        mode = torch.rand(len(frames), generator=generator, device=features.device)[owners]
        # Frames as far away as one draw for the clip says, round its end: spans stay spans.
        turn = (torch.rand(len(frames), generator=generator, device=features.device) * frames.tensor).long()
        elsewhere = frames.starts()[owners] + (frames.places() + turn[owners]) % frames.tensor[owners]
        zeroed = (covered & (mode < self.zero))[:, None]
        swapped = (covered & (mode >= self.zero) & (mode < self.zero + self.swap))[:, None]
        return torch.where(zeroed, features.new_zeros(()), torch.where(swapped, features[elsewhere], features))

    def _louder(
        self, features: Float[Tensor, "frames channels"], frames: Lengths, generator: torch.Generator
    ) -> Float[Tensor, "frames channels"]:
        if not self.magnitude:
            return features
        chosen = torch.rand(len(frames), generator=generator, device=features.device) < self.magnitude
        noise = torch.randn(features.shape, generator=generator, device=features.device, dtype=features.dtype)
        return features + self.noise * noise * chosen[frames.owners()][:, None]
