"""Choose so many tokens of each sample at random: what every mask sampler is made of, for a whole batch at once."""

from __future__ import annotations

from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from manyviews.lengths import Lengths
from manyviews.mask import Mask
from manyviews.moving import constant, sent

Counts: TypeAlias = "int | tuple[int, ...] | Int[Tensor, 'samples']"
"""How many tokens of each sample: the same of all, numbers on the host, or numbers that only the device knows."""


def choose(lengths: Lengths, counts: Counts, generator: torch.Generator) -> Mask:
    """A uniformly random set of `counts` tokens of each sample, as a mask of one set."""
    order = ranks(lengths, generator)
    if isinstance(counts, int):
        return Mask((order < counts)[None], counts)
    known = counts if isinstance(counts, tuple) else None
    each = counts if isinstance(counts, Tensor) else constant(counts, order.device, torch.long)
    return Mask((order < each[lengths.owners()])[None], numbers=known)


def ranks(lengths: Lengths, generator: torch.Generator) -> Int[Tensor, "tokens"]:
    """A random order of each sample's tokens, 0 for the first: `ranks < n` chooses n of them."""
    device = lengths.tensor.device
    if len(lengths) == 1:  # the nodes of one large graph: no sorting
        return torch.randperm(lengths.total, generator=generator, device=device)
    if lengths.each is not None:
        keys = torch.rand(len(lengths), lengths.each, generator=generator, device=device)
        return keys.argsort(1).argsort(1).flatten()
    # float64: with many samples before the point, float32 would leave too few digits behind it
    keys = lengths.owners() + torch.rand(lengths.total, generator=generator, device=device, dtype=torch.float64)
    order = keys.argsort()
    return torch.empty_like(order).scatter_(0, order, lengths.places())


def rounded(share: float | Float[Tensor, "samples"], lengths: Lengths) -> Counts:
    """`round(share * tokens)` of each sample, at least one chosen and at least one left where there are two or more.

    A number where one share meets equal lengths, since then every sample's count is the same.

    Args:
        share: Of all samples, or of each, on the host.
        lengths: Tokens of each sample.
    """
    if isinstance(share, float) and lengths.each is not None:
        return min(max(round(share * lengths.each), 1), max(lengths.each - 1, 0))
    here = lengths.host()
    shares = share if here is not None or isinstance(share, float) else sent(share, lengths.tensor.device)
    tokens = lengths.tensor if here is None else here.tensor
    counts = torch.minimum((shares * tokens).round().long().clamp(min=1), (tokens - 1).clamp(min=0))
    return counts if here is None else tuple(counts.tolist())
