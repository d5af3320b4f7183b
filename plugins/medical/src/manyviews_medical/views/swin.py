"""The views of Swin UNETR's pretraining: one crop, turned and with parts cut out, twice."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, NonNegativeInt, PositiveInt

from manyviews.layout import Layout
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews_medical.batch import VolumeBatch
from manyviews_medical.objectives.swin_ssl import Turned
from manyviews_medical.views.boxes import Box, take
from manyviews_medical.views.intensity import cut_out, holes
from manyviews_medical.views.moves import Moves, moved

Share = Annotated[float, Field(gt=0, le=1)]


class SwinViews(ViewGenerator):
    """Views of one crop by random quarter turns about the last axis, each with boxes cut out (Tang et al. 2022, section 3.2).

    Args:
        views: Number of views.
        holes: Boxes that are cut out of each; with the default sides about three tenths of the crop, as published.
        sides: Range of their sides, as shares of the crop's.
        moves: Size and place of the crop that all views are of; its first two sides are equal.
    """

    gives = frozenset({Trait.SEVERAL_VIEWS, Trait.PRETEXT_TARGET})
    target = Turned

    def __init__(
        self,
        *,
        views: Annotated[PositiveInt, Field(ge=2)] = 2,
        holes: NonNegativeInt = 7,
        sides: tuple[Share, Share] = (0.2, 0.5),
        moves: Moves = Moves(flip=()),  # noqa: B008 - frozen
    ) -> None:
        super().__init__()
        self.views, self.holes, self.sides, self.moves = views, holes, sides, moves

    def forward(self, batch: VolumeBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        crop = moved(batch, self.moves, generator)
        return tuple(self._turned(crop, generator) for _ in range(self.views))

    def _turned(self, crop: VolumeBatch, generator: torch.Generator) -> View:
        turns = torch.randint(4, (len(crop),), generator=generator, device=generator.device)
        nowhere = torch.zeros(len(crop), len(crop.space), dtype=torch.long, device=crop.voxels.device)
        box = Box(nowhere, crop.space, turns=turns)
        whole = take(crop.voxels, box)
        known = None if crop.known is None else take(crop.known[:, None], box)[:, 0]
        shown = crop.showing(cut_out(whole, holes(whole, self.holes, self.sides, generator), generator), known)
        return View(shown, self.cut(shown), target=Turned(turns, whole))
