"""Hide tokens at random, so many of each sample."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field, PositiveFloat

from manyviews.batch import Batch
from manyviews.layout import Layout
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews.views.choose import choose, rounded
from manyviews.views.draws import host_uniform, host_uniforms
from manyviews.views.ranges import refuse_descending

Share = Annotated[float, Field(gt=0, lt=1)]


class RandomMask(ViewGenerator):
    """Withholds a random share of each sample's tokens (MAE, He et al. 2022).

    At least one token of a sample stays, and at least one is hidden where it has two or more.

    Args:
        share: Share of the tokens to hide, or the range (low, high) that it is drawn from.
        power: The share is at 1 - t^power of the range for a uniform t: 1 draws it uniformly, more draws high shares more
            often, as the schedules of masked generation do (MaskGIT, Chang et al. 2022; GraphGPT, Zhao et al. 2024).
        per: Draw the share anew for each `batch` (all samples alike: the fast, dense path) or for each `sample`.
    """

    gives = frozenset({Trait.HIDDEN_TOKENS, Trait.ASKED_TOKENS})

    def __init__(
        self,
        *,
        share: Share | tuple[Share, Share] = 0.5,
        power: PositiveFloat = 1.0,
        per: Literal["batch", "sample"] = "batch",
    ) -> None:
        super().__init__()
        self.low, self.high = share if isinstance(share, tuple) else (share, share)
        refuse_descending(share=(self.low, self.high))
        self.power, self.per = power, per

    def forward(self, batch: Batch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        lengths = layout.lengths
        uniform: float | torch.Tensor = host_uniform(generator)
        if self.per == "sample":
            uniform = host_uniforms(generator, len(lengths))
        share = self.low + (self.high - self.low) * (1 - (1 - uniform) ** self.power)
        return (View(batch, layout, choose(lengths, rounded(share, lengths), generator)),)
