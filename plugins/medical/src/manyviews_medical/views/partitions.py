"""The views of Chaitanya's contrast: two looks at one crop, and which part of the body it is from."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, PositiveInt

from manyviews.errors import UserError
from manyviews.layout import Layout
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews_medical.batch import VolumeBatch
from manyviews_medical.objectives.global_local import Part
from manyviews_medical.views.looks import Looks, changed
from manyviews_medical.views.moves import Moves, moved


class Partitions(ViewGenerator):
    """Every volume is divided into parts along an axis; crops of one part are alike from volume to volume (Chaitanya et
    al. 2020).

    Both views are taken at one place and in one direction, so that their voxels stand for the same things; their looks differ.
    Crops of a volume come from `data.crops`; with slices this is the paper's setting.

    Args:
        parts: Parts of a volume; the paper's S, 4.
        axis: Along which volumes are divided, of the crop's axes; null: the last.
        moves: Size, place and direction, alike for both views.
        looks: Changes of their numbers.
    """

    gives = frozenset({Trait.SEVERAL_VIEWS, Trait.ALIGNED_TOKENS, Trait.PRETEXT_TARGET})
    target = Part

    def __init__(
        self,
        *,
        parts: PositiveInt = 4,
        axis: Annotated[int, Field(ge=0, le=2)] | None = None,
        moves: Moves = Moves(flip=(0,)),  # noqa: B008 - frozen
        looks: Looks = Looks(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__()
        self.parts, self.axis, self.moves, self.looks = parts, axis, moves, looks

    def forward(self, batch: VolumeBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        if batch.centre is None:
            raise UserError(
                "partitions: the batch does not say where its crops lie; give it crops of volumes as they were read"
            )
        place = batch.centre[:, -1 if self.axis is None else self.axis]
        part = Part((place * self.parts).long().clamp(0, self.parts - 1))
        crop = moved(batch, self.moves, generator)
        views = []
        for _ in range(2):
            shown = crop.showing(changed(crop.voxels, self.looks, generator), crop.known)
            views.append(View(shown, self.cut(shown), target=part))
        return tuple(views)
