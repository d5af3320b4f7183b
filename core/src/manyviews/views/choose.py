"""Choose so many tokens of each sample at random: what every mask sampler is made of, for a whole batch at once."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from manyviews.lengths import Lengths
from manyviews.mask import Mask


def choose(lengths: Lengths, counts: int | Int[Tensor, "samples"], generator: torch.Generator) -> Mask:
    """A uniformly random set of `counts` tokens of each sample, as a mask of one set."""
    order = ranks(lengths, generator)
    if isinstance(counts, int):
        return Mask((order < counts)[None], counts)
    return Mask((order < counts[lengths.owners()])[None])


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


def rounded(share: float | Float[Tensor, "samples"], lengths: Lengths) -> int | Int[Tensor, "samples"]:
    """`round(share * tokens)` of each sample, at least one chosen and at least one left where there are two or more.

    A number where one share meets equal lengths, since then every sample's count is the same and known on the host.
    """
    if isinstance(share, float) and lengths.each is not None:
        return min(max(round(share * lengths.each), 1), max(lengths.each - 1, 0))
    most = (lengths.tensor - 1).clamp(min=0)
    return torch.minimum((share * lengths.tensor).round().long().clamp(min=1), most)
