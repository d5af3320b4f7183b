"""Show one random set of tokens and ask for others: T-JEPA's sampler, for columns, nodes and anything without an order."""

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Bool, Int
from pydantic import Field, PositiveInt
from torch import Tensor

from manyviews.batch import Batch
from manyviews.errors import UserError
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.mask import Mask
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews.views.choose import ranks
from manyviews.views.draws import host_uniform
from manyviews.views.ranges import refuse_descending

Share = Annotated[float, Field(gt=0, lt=1)]


class SetMask(ViewGenerator):
    """One context and several asked sets of tokens, each uniformly random (T-JEPA, Thimonier et al. 2024, section 3.2).

    The two shares are drawn once a batch; then each sample's context is drawn, and every asked set from what the context leaves
    (asked sets may overlap one another). Each sample of two or more tokens has at least one token in every set.

    Args:
        context: Range of the share of tokens that the encoder is shown.
        asked: Range of the share of tokens in each asked set.
        sets: Number of asked sets.
    """

    gives = frozenset({Trait.HIDDEN_TOKENS, Trait.ASKED_TOKENS})

    def __init__(
        self, *, context: tuple[Share, Share] = (0.15, 0.4), asked: tuple[Share, Share] = (0.15, 0.6), sets: PositiveInt = 4
    ) -> None:
        super().__init__()
        refuse_descending(context=context, asked=asked)
        if context[0] + asked[0] > 1:
            raise UserError(
                f"the smallest context ({context[0]}) and asked set ({asked[0]}) are together more than all tokens;\n"
                "lower the low ends of `context` and `asked` until they add up to 1 or less"
            )
        self.context, self.asked, self.sets = context, asked, sets

    def forward(self, batch: Batch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        lengths = layout.lengths
        shown_share = host_uniform(generator, self.context[0], min(self.context[1], 1 - self.asked[0]))
        asked_share = host_uniform(generator, self.asked[0], min(self.asked[1], 1 - shown_share))
        if lengths.each is not None:
            shown, asked = _sizes(torch.tensor([lengths.each]), shown_share, asked_share)
            each = int(shown), int(asked)
            context = ranks(lengths, generator) < each[0]
            sets = _equal_sets(context, lengths.each, each[1], self.sets, generator)
            return (View(batch, layout, hidden=Mask(~context[None], lengths.each - each[0]), asked=Mask(sets, each[1])),)
        shown, asked = _sizes(lengths.tensor, shown_share, asked_share)
        owners = lengths.owners()
        context = ranks(lengths, generator) < shown[owners]
        sets = torch.stack([_ragged_set(context, lengths, asked[owners], generator) for _ in range(self.sets)])
        hidden_numbers = asked_numbers = None
        if (here := lengths.host()) is not None:
            shown, asked = _sizes(here.tensor, shown_share, asked_share)
            hidden_numbers, asked_numbers = tuple((here.tensor - shown).tolist()), tuple(asked.tolist()) * self.sets
        hidden = Mask(~context[None], numbers=hidden_numbers)
        return (View(batch, layout, hidden=hidden, asked=Mask(sets, numbers=asked_numbers)),)


def _sizes(tokens: Int[Tensor, "samples"], shown: float, asked: float) -> tuple[Int[Tensor, "samples"], Int[Tensor, "samples"]]:
    """Tokens of the context and of an asked set: the rounded shares, one or more of each, together no more than there are."""
    context = torch.minimum((tokens * shown).round().long().clamp(min=1), (tokens - 1).clamp(min=1))
    wanted = (tokens * asked).round().long().clamp(min=1)
    return context, torch.minimum(wanted, (tokens - context).clamp(min=0))


def _equal_sets(
    context: Bool[Tensor, "tokens"], each: int, size: int, sets: int, generator: torch.Generator
) -> Bool[Tensor, "sets tokens"]:
    """`size` random tokens outside the context, for each set and sample: those of the smallest keys."""
    taken = context.reshape(-1, each)
    keys = torch.rand(sets, *taken.shape, generator=generator, device=context.device) + taken
    smallest = keys.topk(size, largest=False, sorted=False).indices
    return torch.zeros_like(keys, dtype=torch.bool).scatter_(-1, smallest, True).flatten(1)


def _ragged_set(
    context: Bool[Tensor, "tokens"], lengths: Lengths, sizes: Int[Tensor, "tokens"], generator: torch.Generator
) -> Bool[Tensor, "tokens"]:
    """The same for samples of different lengths: sorted by sample, then by key, and the first `sizes` taken."""
    draws = torch.rand(lengths.total, generator=generator, device=context.device, dtype=torch.float64)
    order = (lengths.owners() + (draws + context) / 2).argsort()
    return torch.zeros_like(context).scatter(0, order, lengths.places() < sizes)
