"""Segments of clips, mixed and warped in the log-mel domain: the views of ATST (Li et al. 2022, 2024) and BYOL-A.

Parts of a clip that say the same are ATST-Clip's views; whole clips whose frames stay aligned, some of them with spans
withheld, are ATST-Frame's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.mask import Mask
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews.views.draws import host_uniform
from manyviews.views.ranges import refuse_descending
from manyviews.views.span_mask import spans
from manyviews_speech.batch import AudioBatch
from manyviews_speech.frontend import Frontend
from manyviews_speech.spec import AudioSpec
from manyviews_speech.views.features import features_of, frontend_of

Part = Annotated[float, Field(gt=0, le=1)]


class Segments(ViewGenerator):
    """Parts of each clip, for the joint embedding of clips.

    Args:
        globals: Views of role `global`, which a teacher sees too.
        locals: Views of role `local`, for the student alone.
        global_crop: Range of the share of a clip that a global view shows.
        local_crop: The same for local views.
        mixup: Most that another clip of the batch is mixed in by, in the domain of powers (log-mixup-exp).
        warp: Most that channels are stretched or pressed, and moved by: .1 moves the highest by a tenth.
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
    ) -> None:
        super().__init__()
        refuse_descending(global_crop=global_crop, local_crop=local_crop)
        self.spec, self.mixup, self.warp = spec, mixup, warp
        self.plan = [("global", global_crop)] * globals + [("local", local_crop)] * locals

    def forward(self, batch: AudioBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        features, frames = features_of(batch, self.spec)
        whole = replace(batch, features=features, frames=frames)
        frontend = frontend_of(self.spec, batch.wave.device)
        views = []
        for role, crop in self.plan:
            part = cropped(whole, frontend, host_uniform(generator, *crop), generator)
            views.append(View(altered(part, frontend, self.mixup, self.warp, generator), self.cut(part), role=role))
        return tuple(views)


class FrameViews(ViewGenerator):
    """Whole clips, warped in frequency alone so that frames stay aligned; local views have spans withheld.

    Args:
        globals: Views of role `global`, which a teacher sees too.
        locals: Views of role `local`, for the student alone.
        mixup: Most that another clip of the batch is mixed in by, in the domain of powers (log-mixup-exp).
        warp: Most that channels are stretched or pressed, and moved by.
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
        hidden: Annotated[float, Field(gt=0, lt=1)] = 0.65,
        span: PositiveInt = 5,
    ) -> None:
        super().__init__()
        self.spec, self.mixup, self.warp, self.hidden, self.span = spec, mixup, warp, hidden, span
        self.roles = ["global"] * globals + ["local"] * locals

    def forward(self, batch: AudioBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        features, frames = features_of(batch, self.spec)
        whole = replace(batch, features=features, frames=frames)
        frontend = frontend_of(self.spec, batch.wave.device)
        views = []
        for role in self.roles:
            made = altered(whole, frontend, self.mixup, self.warp, generator)
            # Spans overlap: so many starts cover the share wanted, 1 - (1 - start)^span.
            start = 1 - (1 - self.hidden) ** (1 / self.span)
            hidden = Mask(spans(layout.lengths, start, self.span, generator)[None]) if role == "local" else None
            views.append(View(made, layout, hidden, role=role))
        return tuple(views)


def altered(batch: AudioBatch, frontend: Frontend, mixup: float, warp: float, generator: torch.Generator) -> AudioBatch:
    """The same clips, mixed and warped; their waveforms are as before."""
    features, frames = batch.features, batch.frames
    assert features is not None
    assert frames is not None
    if mixup:
        features = mixed(features, frames, frontend, mixup, generator)
    if warp:
        features = warped(features, frames, warp, generator)
    return replace(batch, features=features)


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


def mixed(
    features: Float[Tensor, "frames channels"], frames: Lengths, frontend: Frontend, most: float, generator: torch.Generator
) -> Float[Tensor, "frames channels"]:
    """log((1 - a) exp x + a exp y) with another clip's frames y, a up to `most` (Niizumi et al. 2021, BYOL-A, equation 3)."""
    device = features.device
    partner = torch.randperm(len(frames), generator=generator, device=device)[frames.owners()]
    offset = (torch.rand(len(frames), generator=generator, device=device) * frames.tensor).long()
    place = (frames.places() + offset[frames.owners()]) % frames.tensor[partner]
    ratio = most * torch.rand(len(frames), 1, generator=generator, device=device)[frames.owners()]
    raw = frontend.unstandardised(features)
    other = raw[frames.starts()[partner] + place]
    tiny = torch.finfo(features.dtype).tiny
    both = torch.logaddexp(raw + (1 - ratio).log(), other + ratio.clamp(min=tiny).log())
    return both if not len(frontend.mean) else (both - frontend.mean) / frontend.std


def warped(
    features: Float[Tensor, "frames channels"], frames: Lengths, most: float, generator: torch.Generator
) -> Float[Tensor, "frames channels"]:
    """Channels of each clip read off at stretched and moved places, between them linearly; time stays."""
    channels, device = features.shape[1], features.device
    uniform = 2 * torch.rand(2, len(frames), 1, generator=generator, device=device) - 1
    place = torch.arange(channels, device=device) * (1 + most * uniform[0]) + most * channels * uniform[1] / 2
    place = place.clamp(0, channels - 1)[frames.owners()]
    low = place.floor().long().clamp(max=max(channels - 2, 0))
    part = place - low
    return torch.lerp(features.gather(1, low), features.gather(1, (low + 1).clamp(max=channels - 1)), part.to(features.dtype))
