"""Several views of each sample, each with a random part of its tokens: augmentation that any domain has."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, NonNegativeInt, PositiveInt

from manyviews.batch import Batch
from manyviews.layout import Layout
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews.views.choose import choose, rounded
from manyviews.views.draws import host_uniform
from manyviews.views.ranges import refuse_descending

Share = Annotated[float, Field(gt=0, lt=1)]


class MaskedViews(ViewGenerator):
    """Global and local views that differ in the tokens shown.

    Masked Siamese networks (Assran et al. 2022) with the roles of multi-crop (Caron et al. 2021).

    Args:
        globals: Views of role `global`, which a teacher sees too.
        locals: Views of role `local`, for the student alone.
        global_hidden: Range of the share of tokens hidden in a global view, drawn for each view of a batch.
        local_hidden: The same for local views.
    """

    gives = frozenset({Trait.SEVERAL_VIEWS, Trait.HIDDEN_TOKENS, Trait.ASKED_TOKENS})

    def __init__(
        self,
        *,
        globals: Annotated[PositiveInt, Field(ge=2)] = 2,  # noqa: A002 - the field's own word for these views
        locals: NonNegativeInt = 0,  # noqa: A002
        global_hidden: tuple[Share, Share] = (0.3, 0.5),
        local_hidden: tuple[Share, Share] = (0.6, 0.8),
    ) -> None:
        super().__init__()
        refuse_descending(global_hidden=global_hidden, local_hidden=local_hidden)
        self.plan = [("global", *global_hidden)] * globals + [("local", *local_hidden)] * locals

    def forward(self, batch: Batch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        lengths = layout.lengths
        return tuple(
            View(batch, layout, choose(lengths, rounded(host_uniform(generator, low, high), lengths), generator), role=role)
            for role, low, high in self.plan
        )
