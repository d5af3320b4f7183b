"""Hide spans of consecutive tokens: frames of speech, steps of a series."""

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Bool
from pydantic import Field, PositiveInt
from torch import Tensor

from manyviews.batch import Batch
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.mask import Mask
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews.views.choose import ranks
from manyviews.views.draws import on_host


class SpanMask(ViewGenerator):
    """Withholds spans along the order of each sample's tokens (wav2vec 2.0, Baevski et al. 2020; HuBERT, Hsu et al. 2021).

    Every token starts a span with probability `start`; spans may overlap and are cut at the sample's end. Each sample
    of two or more tokens keeps at least one and has at least one hidden, whatever its neighbours' lengths.

    Args:
        start: Probability that a span starts at a token: wav2vec 2.0 has .065, HuBERT .08.
        span: Tokens of a span.
    """

    gives = frozenset({Trait.HIDDEN_TOKENS, Trait.ASKED_TOKENS})

    def __init__(self, *, start: Annotated[float, Field(gt=0, le=1)] = 0.08, span: PositiveInt = 10) -> None:
        super().__init__()
        self.start, self.span = start, span

    def forward(self, batch: Batch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        return (View(batch, layout, span_mask(layout.lengths, self.start, self.span, generator)),)


def span_mask(lengths: Lengths, start: float, span: int, generator: torch.Generator) -> Mask:
    """`spans` as a mask of one set, drawn on the host where the lengths are known there."""
    here = lengths.host()
    if here is None:
        return Mask(spans(lengths, start, span, generator)[None])
    return Mask.counted(spans(here, start, span, on_host(generator))[None], lengths)


def spans(lengths: Lengths, start: float, span: int, generator: torch.Generator) -> Bool[Tensor, "tokens"]:
    """Tokens that lie in a span, one pass over all samples: counts of starts within the last `span` places."""
    order = ranks(lengths, generator)
    starts = torch.rand(lengths.total, generator=generator, device=order.device) < start
    starts |= (order == 0) & ~_any(starts, lengths)[lengths.owners()]  # a sample that drew no start gets one
    counts = torch.cat([order.new_zeros(1), starts.cumsum(0)])
    here = torch.arange(lengths.total, device=order.device)
    since = here - torch.minimum(lengths.places(), torch.full_like(here, span - 1))
    inside = counts[here + 1] > counts[since]
    full = ~_any(~inside, lengths)[lengths.owners()]
    return inside & ~(full & (order == lengths.tensor[lengths.owners()] - 1))  # one token of a wholly hidden sample stays


def _any(where: Bool[Tensor, "tokens"], lengths: Lengths) -> Bool[Tensor, "samples"]:
    return torch.zeros_like(lengths.tensor).index_add(0, lengths.owners(), where.long()) > 0
