"""Several views of each crop: what one place looks like in other positions, sizes and scanners."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, NonNegativeInt, PositiveInt

from manyviews.layout import Layout
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews_medical.batch import VolumeBatch
from manyviews_medical.spec import Crop
from manyviews_medical.views.looks import Looks, changed
from manyviews_medical.views.moves import Moves, moved


class Augment(ViewGenerator):
    """Global and local views: crops, flips, turns, and other numbers (SimCLR in 3D as Isensee's nnssl, Wald et al. 2024).

    Args:
        globals: Views of role `global`, which a teacher sees too.
        locals: Views of role `local`, for the student alone.
        moves: Size, place and direction: `size` (null: the whole crop), `flip`, `quarter`, `rotate`, `scale`.
        local_size: Voxels of a local view; null: half of a global one.
        looks: Changes of the numbers: `shift`, `scale`, `gamma`, `invert`, `noise`, `blur`, `bias`, `cutout`, `chance`.
        aligned: All views are taken at one place and in one direction, drawn once, so that their tokens stand for the
            same things;
            only their looks differ. For recipes whose unit is the token; there are no local views then.
    """

    gives = frozenset({Trait.SEVERAL_VIEWS, Trait.ALIGNED_TOKENS})
    """Aligned where it is asked for."""

    def __init__(
        self,
        *,
        globals: Annotated[PositiveInt, Field(ge=2)] = 2,  # noqa: A002 - the field's own word for these views
        locals: NonNegativeInt = 0,  # noqa: A002
        moves: Moves = Moves(),  # noqa: B008 - frozen
        local_size: Crop | None = None,
        looks: Looks = Looks(),  # noqa: B008 - frozen
        aligned: bool = False,
    ) -> None:
        super().__init__()
        self.globals, self.locals = globals, 0 if aligned else locals
        self.moves, self.local_size, self.looks, self.aligned = moves, local_size, looks, aligned
        self.gives = self.gives if aligned else self.gives - {Trait.ALIGNED_TOKENS}

    def forward(self, batch: VolumeBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        whole = batch.scaled()
        if self.aligned:
            one = moved(whole, self.moves, generator)
            return tuple(self._view(one, "global", generator) for _ in range(self.globals))
        views = [self._view(moved(whole, self.moves, generator), "global", generator) for _ in range(self.globals)]
        small = self.moves.model_copy(update={"size": self._small(whole)})
        views += [self._view(moved(whole, small, generator), "local", generator) for _ in range(self.locals)]
        return tuple(views)

    def _view(self, shown: VolumeBatch, role: str, generator: torch.Generator) -> View:
        made = shown.showing(changed(shown.voxels, self.looks, generator), shown.known)
        return View(made, self.cut(made), role=role)

    def _small(self, batch: VolumeBatch) -> Crop:
        if self.local_size is not None:
            return self.local_size
        size = self.moves.size
        given = batch.space if size is None else (size if isinstance(size, tuple) else (size,) * len(batch.space))
        halves = tuple(side // 2 for side in given)
        return halves if len(halves) == 2 else (halves[0], halves[1], halves[2])
