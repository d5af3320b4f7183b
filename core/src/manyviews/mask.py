"""A choice of tokens: those withheld from an encoder, or those that it is asked to predict.

`each` is the number chosen in every sample, `numbers` what is chosen of each where that differs. Samplers draw sizes (and what
cannot be counted beforehand, spans and boxes) on the host, and then every shape that follows is known there and the device
is never asked.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from manyviews.lengths import Lengths
from manyviews.moving import sent


@dataclass(frozen=True)
class Mask:
    """One or more sets of tokens of a batch."""

    where: Bool[Tensor, "sets tokens"]
    each: int | None = None
    """Tokens chosen in each sample, in every set; None where that differs or is not known."""
    numbers: tuple[int, ...] | None = None
    """Tokens chosen for each (set, sample), sets outermost, where they differ and are known on the host."""

    @classmethod
    def counted(cls, where: Bool[Tensor, "sets tokens"], lengths: Lengths) -> Mask:
        """From sets drawn on the host: counted there, and sent to where `lengths` are."""
        here = lengths.host()
        assert here is not None, "sets are drawn on the host where the lengths are known there"
        numbers = tuple(_counts(where, here).flatten().tolist())
        each = numbers[0] if numbers and min(numbers) == max(numbers) else None
        return cls(sent(where, lengths.tensor.device), each, None if each is not None else numbers)

    @property
    def sets(self) -> int:
        return self.where.shape[0]

    def index(self, lengths: Lengths) -> Int[Tensor, "chosen"]:
        """Where the chosen tokens stand in the list (sets tokens) read row by row, in ascending order."""
        flat = self.where.flatten()
        if self.each is not None:
            return torch.nonzero_static(flat, size=self.sets * len(lengths) * self.each).squeeze(1)
        if self.numbers is not None:
            return torch.nonzero_static(flat, size=sum(self.numbers)).squeeze(1)
        return flat.nonzero().squeeze(1)

    def lengths(self, lengths: Lengths) -> Lengths:
        """Tokens chosen for each (set, sample), sets outermost."""
        if self.each is not None:
            return Lengths.equal(self.sets * len(lengths), self.each, self.where.device)
        counts = self.numbers if self.numbers is not None else _counts(self.where, lengths).flatten()
        return Lengths.of(counts, self.where.device)

    def complement(self, lengths: Lengths) -> Mask:
        """The tokens that are not chosen."""
        if self.each is not None and lengths.each is not None:
            return Mask(~self.where, lengths.each - self.each)
        mine = (self.each,) * (self.sets * len(lengths)) if self.each is not None else self.numbers
        if mine is None or (lengths.each is None and lengths.numbers is None):
            return Mask(~self.where)
        whole = lengths.on_host() * self.sets
        return Mask(~self.where, numbers=tuple(all_ - some for all_, some in zip(whole, mine, strict=True)))

    def any(self) -> Mask:
        """The union of the sets, as one set."""
        return self if self.sets == 1 else Mask(self.where.any(0, keepdim=True))


def _counts(where: Bool[Tensor, "sets tokens"], lengths: Lengths) -> Int[Tensor, "sets samples"]:
    counts = torch.zeros(len(where), len(lengths), dtype=torch.long, device=where.device)
    return counts.index_add(1, lengths.owners(), where.long())
