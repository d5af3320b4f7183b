"""Augmentations: what may differ between two views of one recording, for objectives that compare views."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field, PositiveInt

from manyviews.layout import Layout
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews_timeseries.source import TimeseriesBatch, TimeseriesSpec


class Noise(ViewGenerator):
    """Copies of a recording, each louder or quieter and with noise added; their tokens stand for the same steps.

    Args:
        views: Number of copies.
        gain: Largest factor by which a copy is louder; the smallest is its inverse.
        noise: Standard deviation of the noise, in deviations of each channel.
    """

    gives = frozenset({Trait.SEVERAL_VIEWS, Trait.ALIGNED_TOKENS})
    std: torch.Tensor

    def __init__(
        self,
        spec: TimeseriesSpec,
        /,
        *,
        views: Annotated[PositiveInt, Field(ge=2)] = 2,
        gain: Annotated[float, Field(ge=1)] = 1.5,
        noise: Annotated[float, Field(ge=0)] = 0.3,
    ) -> None:
        super().__init__()
        self.views, self.gain, self.noise = views, gain, noise
        self.register_buffer("std", torch.tensor(spec.std))

    def forward(self, batch: TimeseriesBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        return tuple(View(self._altered(batch, generator), layout) for _ in range(self.views))

    def _altered(self, batch: TimeseriesBatch, generator: torch.Generator) -> TimeseriesBatch:
        values, device = batch.values, batch.values.device
        exponents = torch.rand(len(batch), generator=generator, device=device) * 2 - 1
        gains = batch.spread(self.gain ** exponents.to(values.dtype))
        noise = torch.randn(values.shape, generator=generator, device=device).to(values.dtype)
        return replace(batch, values=values * gains + self.noise * self.std.to(values.dtype) * noise)
