"""Views of waveforms as other microphones, rooms and speakers would have them."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor

from manyviews.layout import Layout
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews.views.draws import host_uniform
from manyviews.views.ranges import refuse_descending
from manyviews_speech.batch import AudioBatch
from manyviews_speech.frontend import Frontend
from manyviews_speech.spec import AudioSpec
from manyviews_speech.views import effects
from manyviews_speech.views.features import partner_of

Share = Annotated[float, Field(ge=0, le=1)]
Range = tuple[float, float]


class WaveViews(ViewGenerator):
    """Several views of each clip, altered as waveforms; features are computed after that.

    Each effect is drawn for every clip of every view; speed and pitch for a whole view, since they set its length.

    Args:
        views: Number of views.
        gain: Range in decibels; null: none.
        noise: Range of the signal-to-noise ratio in decibels; null: none.
        colour: Fall of the noise's power with frequency: 0 white, 1 pink.
        mix: Range of the ratio in decibels at which another clip of the batch is added; null: none.
        reverb: Range of the seconds in which a room's echo falls by 60 dB; null: none.
        chance: Share of the clips that noise, mixing and reverberation each happen to.
        speeds: Tenths of the speed to choose from, such as [9, 10, 11]; tokens of views are then not aligned.
        pitches: Semitones to choose from, such as [-2, 0, 2].
        partner: Every second view is of the clip's partner; needs `data.partner`.
    """

    gives = frozenset({Trait.SEVERAL_VIEWS, Trait.ALIGNED_TOKENS})
    """Where speeds and speakers stay as they are."""

    def __init__(
        self,
        spec: AudioSpec,
        /,
        *,
        views: Annotated[PositiveInt, Field(ge=2)] = 2,
        gain: Range | None = (-6.0, 6.0),
        noise: Range | None = (10.0, 30.0),
        colour: NonNegativeFloat = 0.0,
        mix: Range | None = None,
        reverb: tuple[NonNegativeFloat, NonNegativeFloat] | None = None,
        chance: Share = 0.5,
        speeds: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (10,),
        pitches: Annotated[tuple[int, ...], Field(min_length=1)] = (0,),
        partner: bool = False,
    ) -> None:
        super().__init__()
        given = {"gain": gain, "noise": noise, "mix": mix, "reverb": reverb}
        refuse_descending(**{name: ends for name, ends in given.items() if ends is not None})
        self.spec, self.views, self.gain, self.noise, self.colour = spec, views, gain, noise, colour
        self.mix, self.reverb, self.chance, self.speeds, self.pitches, self.partner = (
            mix,
            reverb,
            chance,
            speeds,
            pitches,
            partner,
        )
        aligned = set(speeds) == {10} and not partner
        self.gives = self.gives if aligned else self.gives - {Trait.ALIGNED_TOKENS}
        self.frontend = None if spec.features is None else Frontend.of(spec)

    def forward(self, batch: AudioBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        clips = [batch, partner_of(batch)] if self.partner else [batch]
        views = []
        for number in range(self.views):
            altered = self._altered(clips[number % len(clips)], generator)
            views.append(View(altered, layout if Trait.ALIGNED_TOKENS in self.gives else self.cut(altered)))
        return tuple(views)

    def _altered(self, batch: AudioBatch, generator: torch.Generator) -> AudioBatch:
        speed, pitch = (values[_pick(len(values), generator)] for values in (self.speeds, self.pitches))
        wave, points = effects.sped(batch.wave, batch.points, speed)
        frontend = self.frontend
        frames = None if frontend is None else points.map(frontend.count)
        batch = replace(batch, wave=wave, points=points, frames=frames, features=None)
        wave = effects.pitched(wave, points, self.spec.rate, pitch)
        if self.reverb is not None:
            decay = effects.uniform(points, *self.reverb, generator)
            wave = self._sometimes(wave, effects.reverberated(wave, points, self.spec.rate, decay, generator), batch, generator)
        for sound, snr in ((self._others(batch, wave, generator), self.mix), (self._noise(batch, generator), self.noise)):
            if sound is not None and snr is not None:
                made = effects.added(wave, points, sound, effects.uniform(points, *snr, generator))
                wave = self._sometimes(wave, made, batch, generator)
        if self.gain is not None:
            wave = effects.gained(wave, points, effects.uniform(points, *self.gain, generator))
        return replace(batch, wave=wave)

    def _others(self, batch: AudioBatch, wave: Tensor, generator: torch.Generator) -> Tensor | None:
        return None if self.mix is None else effects.from_others(wave, batch.points, generator)

    def _noise(self, batch: AudioBatch, generator: torch.Generator) -> Tensor | None:
        return None if self.noise is None else effects.noise(batch.points, self.colour, generator)

    def _sometimes(
        self, wave: Float[Tensor, "points"], made: Float[Tensor, "points"], batch: AudioBatch, generator: torch.Generator
    ) -> Float[Tensor, "points"]:
        chosen = torch.rand(len(batch.points), generator=generator, device=wave.device) < self.chance
        return torch.where(chosen[batch.points.owners()], made, wave)


def _pick(count: int, generator: torch.Generator) -> int:
    """One of `count`, on the host: it sets shapes."""
    return min(int(host_uniform(generator, 0.0, float(count))), count - 1) if count > 1 else 0
