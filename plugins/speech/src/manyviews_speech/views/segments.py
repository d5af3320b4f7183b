"""Segments of clips, mixed and warped in the log-mel domain: the views of ATST (Li et al. 2022, 2024) and BYOL-A.

Parts of a clip that say the same are ATST-Clip's views; whole clips whose frames stay aligned, some of them with spans
withheld, are ATST-Frame's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor

from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews.views.draws import host_uniform
from manyviews.views.ranges import refuse_descending
from manyviews.views.span_mask import span_mask
from manyviews_speech.batch import AudioBatch
from manyviews_speech.frontend import Frontend
from manyviews_speech.spec import AudioSpec
from manyviews_speech.views.bands import channel_bands, frame_bands
from manyviews_speech.views.channels import channel_of
from manyviews_speech.views.features import featured, frontend_of, partner_of

Part = Annotated[float, Field(gt=0, le=1)]
FRAMES_BANDED = 0.2
"""Most of a clip that a band of frames covers."""
Decibels = tuple[NonNegativeFloat, NonNegativeFloat]


class Segments(ViewGenerator):
    """Parts of each clip, for the joint embedding of clips.

    Args:
        globals: Views of role `global`, which a teacher sees too.
        locals: Views of role `local`, for the student alone.
        global_crop: Range of the share of a clip that a global view shows.
        local_crop: The same for local views.
        mixup: Most that another clip of the batch is mixed in by, in the domain of powers (log-mixup-exp).
        warp: Most that channels are stretched or pressed, and moved by: .1 moves the highest by a tenth.
        throat: Most that frequencies are raised or lowered by, as in a shorter or longer vocal tract (VTLP; Jaitly & Hinton
            2013); .1 in the paper. For mel features, not for cepstral coefficients.
        tilt: Standard deviation, in decibels, of a smooth random gain over channels: another microphone.
        floor: Range, in decibels below the loudest cell, of stationary noise that is added; null: none.
        tempo: Most that a view is slowed down or sped up by, its spectrum as it was: .2 makes four to six frames of five.
        bands: Widest band of channels that is set to the mean in each view, beside a band of up to a fifth of its frames
            (SpecAugment).
        partner: Every second view is of the clip's partner; needs `data.partner`.
    """

    gives = frozenset({Trait.SEVERAL_VIEWS})

    def __init__(
        self,
        spec: AudioSpec,
        /,
        *,
        globals: Annotated[PositiveInt, Field(ge=2)] = 2,  # noqa: A002 - the field's own word for these views
        locals: NonNegativeInt = 0,  # noqa: A002
        global_crop: tuple[Part, Part] = (0.6, 1.0),
        local_crop: tuple[Part, Part] = (0.3, 0.6),
        mixup: Annotated[float, Field(ge=0, lt=1)] = 0.4,
        warp: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        throat: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        tilt: NonNegativeFloat = 0.0,
        floor: Decibels | None = None,
        tempo: Annotated[float, Field(ge=0, lt=0.5)] = 0.0,
        bands: NonNegativeInt = 0,
        partner: bool = False,
    ) -> None:
        super().__init__()
        refuse_descending(global_crop=global_crop, local_crop=local_crop, **({"floor": floor} if floor else {}))
        self.spec, self.channel = spec, channel_of(spec, mixup, warp, tilt, floor, throat)
        self.tempo, self.bands, self.partner = tempo, bands, partner
        self.plan = [("global", global_crop)] * globals + [("local", local_crop)] * locals

    def forward(self, batch: AudioBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        frontend = frontend_of(self.spec, batch.wave.device)
        clips = [batch, partner_of(batch)] if self.partner else [batch]
        wholes = [featured(one, self.spec) for one in clips]
        views = []
        for number, (role, crop) in enumerate(self.plan):
            part = cropped(wholes[number % len(wholes)], frontend, host_uniform(generator, *crop), generator)
            part = self.channel(part, frontend, generator)
            if self.tempo:
                part = paced(part, frontend, host_uniform(generator, 1 - self.tempo, 1 + self.tempo))
            views.append(View(self._banded(part, generator), self.cut(part), role=role))
        return tuple(views)

    def _banded(self, batch: AudioBatch, generator: torch.Generator) -> AudioBatch:
        """With a band of channels and one of frames at 0, the mean of standardised features."""
        if not self.bands:
            return batch
        features, frames = batch.features, batch.frames
        assert features is not None
        assert frames is not None
        band = channel_bands(len(frames), features.shape[1], self.bands, generator, features.device)[frames.owners()]
        stretch = frame_bands(frames, frames.longest, FRAMES_BANDED, generator)
        return replace(batch, features=features.masked_fill(band | stretch[:, None], 0.0))


class FrameViews(ViewGenerator):
    """Whole clips, altered in frequency alone so that frames stay aligned; local views have spans withheld.

    What is asked for (`masked_reconstruction`, `masked_codes`) is what the clip holds unaltered: the encoder learns to hear
    through the alteration, too (as WavLM does; Chen et al. 2022).

    Args:
        globals: Views of role `global`, which a teacher sees too.
        locals: Views of role `local`, for the student alone.
        mixup: Most that another clip of the batch is mixed in by, in the domain of powers (log-mixup-exp).
        warp: Most that channels are stretched or pressed, and moved by: .1 moves the highest by a tenth.
        throat: Most that frequencies are raised or lowered by, as in a shorter or longer vocal tract (VTLP; Jaitly & Hinton
            2013); .1 in the paper. For mel features, not for cepstral coefficients.
        tilt: Standard deviation, in decibels, of a smooth random gain over channels: another microphone.
        floor: Range, in decibels below the loudest cell, of stationary noise that is added; null: none.
        hidden: Share of a local view's tokens that spans are to withhold.
        span: Tokens of such a span.
    """

    gives = frozenset({Trait.SEVERAL_VIEWS, Trait.ALIGNED_TOKENS, Trait.HIDDEN_TOKENS, Trait.ASKED_TOKENS})

    def __init__(
        self,
        spec: AudioSpec,
        /,
        *,
        globals: PositiveInt = 2,  # noqa: A002
        locals: PositiveInt = 2,  # noqa: A002
        mixup: Annotated[float, Field(ge=0, lt=1)] = 0.2,
        warp: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        throat: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        tilt: NonNegativeFloat = 0.0,
        floor: Decibels | None = None,
        hidden: Annotated[float, Field(gt=0, lt=1)] = 0.65,
        span: PositiveInt = 5,
    ) -> None:
        super().__init__()
        self.spec, self.channel = spec, channel_of(spec, mixup, warp, tilt, floor, throat)
        self.hidden, self.span = hidden, span
        self.roles = ["global"] * globals + ["local"] * locals

    def forward(self, batch: AudioBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        whole = featured(batch, self.spec)
        frontend = frontend_of(self.spec, batch.wave.device)
        views = []
        for role in self.roles:
            made = replace(self.channel(whole, frontend, generator), content=whole.features)
            # Spans overlap: so many starts cover the share wanted, 1 - (1 - start)^span.
            start = 1 - (1 - self.hidden) ** (1 / self.span)
            hidden = span_mask(layout.lengths, start, self.span, generator) if role == "local" else None
            views.append(View(made, layout, hidden, role=role))
        return tuple(views)


def cropped(batch: AudioBatch, frontend: Frontend, share: float, generator: torch.Generator) -> AudioBatch:
    """A part of each clip, anywhere: waveform and features of the same stretch of time."""
    frames = batch.frames
    assert frames is not None
    assert batch.features is not None
    least = frontend.count(frontend.shortest)
    kept = frames.map(lambda number: min(max(round(share * number), least), number))
    points = kept.map(frontend.points)
    uniform = torch.rand(len(frames), generator=generator, device=frames.tensor.device)
    start = (uniform * (frames.tensor - kept.tensor + 1)).long()
    frame = (frames.starts() + start)[kept.owners()] + kept.places()
    first = batch.points.starts() + start * frontend.hop
    # A centred last frame may reach a few samples beyond the clip: there the last sample stands.
    last = (batch.points.starts() + batch.points.tensor - 1)[points.owners()]
    point = torch.minimum(first[points.owners()] + points.places(), last)
    return replace(batch, wave=batch.wave[point], points=points, features=batch.features[frame], frames=kept)


def paced(batch: AudioBatch, frontend: Frontend, factor: float) -> AudioBatch:
    """The same clips in `factor` times as many frames, between them linearly: slower above 1, the spectrum as it was.

    Waveforms are stretched to the same length, and so are lower or higher; encoders that read features do not see that.
    """
    before = batch.frames
    assert before is not None
    assert batch.features is not None
    least = frontend.count(frontend.shortest)
    frames = before.map(lambda number: max(round(factor * number), min(least, number)))
    points = frames.map(frontend.points)
    # Stretched, a clip no longer has mean 0 and deviation 1, which those of a clip alone are taken anew for.
    features = _stretched(batch.features, before, frames)
    features = features if frontend.features.norm == "data" else frontend.standardised(features, frames)
    wave = _stretched(batch.wave[:, None], batch.points, points)[:, 0]
    return replace(batch, wave=wave, points=points, features=features, frames=frames)


def _stretched(x: Float[Tensor, "before channels"], before: Lengths, after: Lengths) -> Float[Tensor, "after channels"]:
    """Each clip at evenly spaced places from its first row to its last."""
    owners = after.owners()
    last = (before.tensor - 1)[owners]
    place = after.places() * (last / (after.tensor - 1).clamp(min=1)[owners])
    low = torch.minimum(place.floor().long(), (last - 1).clamp(min=0))
    first = before.starts()[owners]
    part = (place - low)[:, None].to(x.dtype)
    return torch.lerp(x[first + low], x[first + torch.minimum(low + 1, last)], part)
