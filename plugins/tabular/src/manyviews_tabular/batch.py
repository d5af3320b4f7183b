"""What a table's loader hands to its encoders: numbers already scaled, categories already codes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from manyviews.moving import moved


@dataclass(frozen=True)
class TableBatch:
    """Rows of a table. Their numbers and codes are fixed by the spec, never by the other rows of the batch."""

    values: Float[Tensor, "rows numeric"]
    """Scaled numbers; 0 where missing."""
    missing: Bool[Tensor, "rows numeric"]
    codes: Int[Tensor, "rows categorical"]
    """Codes local to each column: MISSING, UNSEEN, RARE, then its levels."""

    def __len__(self) -> int:
        return self.values.shape[0]

    @property
    def columns(self) -> int:
        """Columns of a row, numeric and categorical: its tokens."""
        return self.values.shape[1] + self.codes.shape[1]

    def to(self, device: torch.device, non_blocking: bool = False) -> TableBatch:
        return moved(self, device, non_blocking)
