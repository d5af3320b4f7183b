"""The batch as it is: for objectives whose question lies in the order of the tokens or in the encoder."""

from __future__ import annotations

import torch

from manyviews.batch import Batch
from manyviews.layout import Layout
from manyviews.view import View, ViewGenerator


class Whole(ViewGenerator):
    """One view that shows everything."""

    def forward(self, batch: Batch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        return (View(batch, layout),)
