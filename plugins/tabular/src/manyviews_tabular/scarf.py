"""SCARF's views: a row and a copy of it with features resampled from their marginals (Bahri et al. 2022, algorithm 1)."""

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Bool
from pydantic import Field
from torch import Tensor

from manyviews.layout import Layout
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews_tabular.batch import TableBatch


class Scarf(ViewGenerator):
    """The row, and the row with a random part of its columns drawn anew from other rows of the batch.

    A batch's own columns are a sample of the training marginals, missing values and ties included.

    Args:
        corruption: Share of the columns that is drawn anew, in each row.
        both: Corrupt both views, not the second alone.
    """

    gives = frozenset({Trait.SEVERAL_VIEWS, Trait.ALIGNED_TOKENS})

    def __init__(self, *, corruption: Annotated[float, Field(gt=0, le=1)] = 0.6, both: bool = False) -> None:
        super().__init__()
        self.corruption, self.both = corruption, both

    def forward(self, batch: TableBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        second = View(self._corrupt(batch, generator), layout)
        first = View(self._corrupt(batch, generator), layout) if self.both else View(batch, layout)
        return first, second

    def _corrupt(self, batch: TableBatch, generator: torch.Generator) -> TableBatch:
        keys = torch.rand(len(batch), batch.columns, generator=generator, device=batch.values.device)
        chosen = keys.argsort(1).argsort(1) < max(round(self.corruption * batch.columns), 1)
        return resample(batch, chosen, generator)


def resample(batch: TableBatch, where: Bool[Tensor, "rows columns"], generator: torch.Generator) -> TableBatch:
    """The batch with the cells of `where` replaced by those of random rows, each column on its own."""
    rows, numeric = batch.values.shape
    donors = torch.randint(max(rows, 1), where.shape, generator=generator, device=where.device)
    here, there = donors[:, :numeric], donors[:, numeric:]
    return TableBatch(
        torch.where(where[:, :numeric], batch.values.gather(0, here), batch.values),
        torch.where(where[:, :numeric], batch.missing.gather(0, here), batch.missing),
        torch.where(where[:, numeric:], batch.codes.gather(0, there), batch.codes),
    )
