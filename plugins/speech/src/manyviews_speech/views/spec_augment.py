"""SpecAugment (Park et al. 2019): bands of frames and of channels set to the mean."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews_speech.batch import AudioBatch
from manyviews_speech.spec import AudioSpec
from manyviews_speech.views.bands import channel_bands, frame_bands
from manyviews_speech.views.features import features_of


class SpecAugment(ViewGenerator):
    """Several views of each clip, each with bands of its own; their tokens are aligned.

    Args:
        views: Number of views.
        frame_bands: Bands of frames of each clip.
        frames: Widest band of frames.
        share: Most of a clip that one band covers.
        channel_bands: Bands of channels of each clip.
        channels: Widest band of channels.
    """

    gives = frozenset({Trait.SEVERAL_VIEWS, Trait.ALIGNED_TOKENS})

    def __init__(
        self,
        spec: AudioSpec,
        /,
        *,
        views: Annotated[PositiveInt, Field(ge=2)] = 2,
        frame_bands: NonNegativeInt = 2,
        frames: PositiveInt = 40,
        share: Annotated[float, Field(gt=0, lt=1)] = 0.2,
        channel_bands: NonNegativeInt = 2,
        channels: PositiveInt = 20,
    ) -> None:
        super().__init__()
        self.spec, self.views, self.frame_bands, self.frames, self.share = spec, views, frame_bands, frames, share
        self.channel_bands, self.channels = channel_bands, channels

    def forward(self, batch: AudioBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        features, frames = features_of(batch, self.spec)
        return tuple(
            View(replace(batch, features=self.masked(features, frames, generator), frames=frames), layout)
            for _ in range(self.views)
        )

    def masked(
        self, features: Float[Tensor, "frames channels"], frames: Lengths, generator: torch.Generator
    ) -> Float[Tensor, "frames channels"]:
        """The features with their bands at 0, the mean of standardised features."""
        for _ in range(self.frame_bands):
            where = frame_bands(frames, self.frames, self.share, generator)
            features = torch.where(where[:, None], features.new_zeros(()), features)
        for _ in range(self.channel_bands):
            band = channel_bands(len(frames), features.shape[1], self.channels, generator, features.device)
            features = torch.where(band[frames.owners()], features.new_zeros(()), features)
        return features
