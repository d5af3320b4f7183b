"""A choice of tokens: those withheld from an encoder, or those that it is asked to predict.

`each` is the number chosen in every sample. Samplers that draw one size for the whole batch know it, and then every
shape that follows is known on the host and the device is never asked.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from manyviews.lengths import Lengths


@dataclass(frozen=True)
class Mask:
    """One or more sets of tokens of a batch."""

    where: Bool[Tensor, "sets tokens"]
    each: int | None = None
    """Tokens chosen in each sample, in every set; None where that differs or is not known."""

    @property
    def sets(self) -> int:
        return self.where.shape[0]

    def index(self, lengths: Lengths) -> Int[Tensor, "chosen"]:
        """Where the chosen tokens stand in the list (sets tokens) read row by row, in ascending order."""
        flat = self.where.flatten()
        if self.each is None:
            return flat.nonzero().squeeze(1)
        return torch.nonzero_static(flat, size=self.sets * len(lengths) * self.each).squeeze(1)

    def lengths(self, lengths: Lengths) -> Lengths:
        """Tokens chosen for each (set, sample), sets outermost."""
        if self.each is not None:
            return Lengths.equal(self.sets * len(lengths), self.each, self.where.device)
        counts = torch.zeros(self.sets, len(lengths), dtype=torch.long, device=self.where.device)
        return Lengths.of(counts.index_add(1, lengths.owners(), self.where.long()).flatten(), self.where.device)

    def complement(self, lengths: Lengths) -> Mask:
        """The tokens that are not chosen."""
        known = self.each is not None and lengths.each is not None
        return Mask(~self.where, lengths.each - self.each if known else None)  # type: ignore[operator]

    def any(self) -> Mask:
        """The union of the sets, as one set."""
        return self if self.sets == 1 else Mask(self.where.any(0, keepdim=True))
