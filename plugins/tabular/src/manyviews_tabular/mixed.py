"""Two corrupted views and their mixture, for Barlow Twins with mixed samples (Bandara et al. 2023, section 3)."""

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor

from manyviews.layout import Layout
from manyviews.objectives.barlow_twins import Mixture
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews_tabular.batch import TableBatch
from manyviews_tabular.scarf import Scarf


class MixedViews(ViewGenerator):
    """Two views as SCARF's, both corrupted, and a third that mixes each row's first view with another row's second.

    Numbers are interpolated. A category has nothing between its levels, and neither has a missing number: such a cell is
    taken from the first view with the probability of its share. The share is uniform, Beta(1, 1) as in the paper.

    Args:
        corruption: Share of the columns that is drawn anew in a view.
    """

    gives = frozenset({Trait.SEVERAL_VIEWS, Trait.ALIGNED_TOKENS, Trait.PRETEXT_TARGET})
    target = Mixture

    def __init__(self, *, corruption: Annotated[float, Field(gt=0, le=1)] = 0.3) -> None:
        super().__init__()
        self.scarf = Scarf(corruption=corruption, both=True)

    def forward(self, batch: TableBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        first, second = self.scarf(batch, layout, generator)
        device = batch.values.device
        partner = torch.randperm(len(batch), generator=generator, device=device)
        share = torch.rand(len(batch), generator=generator, device=device)
        mixed = mix(first.batch, second.batch, share, partner, generator)
        return first, second, View(mixed, layout, target=Mixture(share, partner))


def mix(
    one: TableBatch,
    two: TableBatch,
    share: Float[Tensor, "rows"],
    partner: Int[Tensor, "rows"],
    generator: torch.Generator,
) -> TableBatch:
    """`share` of each row of `one` and the rest of the row `partner` of `two`."""
    other = TableBatch(two.values[partner], two.missing[partner], two.codes[partner])
    draws = torch.rand(len(one), one.columns, generator=generator, device=share.device)
    first = draws < share[:, None]
    numbers, codes = first[:, : one.values.shape[1]], first[:, one.values.shape[1] :]
    both = ~one.missing & ~other.missing
    between = share[:, None] * one.values + (1 - share[:, None]) * other.values
    return TableBatch(
        torch.where(both, between, torch.where(numbers, one.values, other.values)),
        torch.where(numbers, one.missing, other.missing) & ~both,
        torch.where(codes, one.codes, other.codes),
    )
