"""Seasonal contrast's views: a place as it is, at another date, augmented, and both."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

import torch
from pydantic import Field

from manyviews.errors import UserError
from manyviews.layout import Layout
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews.views.draws import host_uniform
from manyviews.views.ranges import refuse_descending
from manyviews_satellite.batch import TileBatch
from manyviews_satellite.spec import TileSpec
from manyviews_satellite.views.augment import jittered
from manyviews_satellite.views.crops import cropped

Share = Annotated[float, Field(gt=0, le=1)]
Deviation = Annotated[float, Field(ge=0)]


@dataclass(frozen=True)
class Season:
    """How a view differs from the query, the first of them."""

    season: bool
    augmented: bool


class Seasons(ViewGenerator):
    """A date as it is, another one augmented, a third one as it is, the first one augmented (SeCo, Mañas et al. 2021).

    Args:
        crop: Range of an augmented view's side, as a share of the tile's.
        turn: Turn and mirror augmented views.
        jitter: Deviation of each band's gain and offset in augmented views, in deviations of the training data.
        noise: Deviation of noise added to their pixels.
    """

    gives = frozenset({Trait.SEVERAL_VIEWS, Trait.PRETEXT_TARGET})
    target = Season

    def __init__(
        self,
        spec: TileSpec,
        /,
        *,
        crop: tuple[Share, Share] = (0.4, 1.0),
        turn: bool = True,
        jitter: Deviation = 0.3,
        noise: Deviation = 0.05,
    ) -> None:
        super().__init__()
        refuse_descending(crop=crop)
        if spec.windows.dates < 2:
            raise UserError("satellite/seasons compares dates of a place, and a sample has one: set data.dates=3")
        self.spec, self.crop, self.turn, self.jitter, self.noise = spec, crop, turn, jitter, noise

    def forward(self, batch: TileBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        standard = batch.standardised(self.spec)
        start = int(host_uniform(generator) * batch.dates)
        first, second, third = (standard.at_dates([(start + place) % batch.dates]) for place in range(3))
        plan = [(first, False, False), (second, True, True), (third, True, False), (first, False, True)]
        views = []
        for tiles, season, augmented in plan:
            shown = self._augmented(tiles, generator) if augmented else tiles
            views.append(View(shown, self.cut(shown), target=Season(season, augmented)))
        return tuple(views)

    def _augmented(self, batch: TileBatch, generator: torch.Generator) -> TileBatch:
        low, high = self.crop
        share = low + (high - low) * torch.rand(len(batch), generator=generator, device=batch.pixels.device)
        made = cropped(batch, batch.pixels.shape[-1], share, self.turn, generator)
        pixels = jittered(made.pixels, self.jitter, self.noise, generator)
        if made.valid is not None:
            pixels = torch.where(made.valid[:, :, None], pixels, pixels.new_zeros(()))
        return replace(made, pixels=pixels)
