"""How a batch falls into tokens, for one encoder.

Tokens are whatever the domain is made of: 3D patches, tile patches per band group, frames, nodes, columns. Mask
samplers, decoders and predictors read only this page of facts, which is why they work on every domain.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from manyviews.lengths import Lengths


@dataclass(frozen=True)
class Layout:
    """The tokens of a batch: how many each sample has and where they lie."""

    lengths: Lengths
    grid: tuple[int, ...] | None = None
    """(frames,), (rows, cols) or (depth, rows, cols) of every sample; None for sets, graphs and ragged batches."""
    positions: Float[Tensor, "tokens axes"] | None = None
    """Coordinates, frame times, column numbers; None where the grid says it all or where there is no order."""

    def coordinates(self) -> Float[Tensor, "tokens axes"] | None:
        """`positions`, or the places on the grid; None for tokens without any place (sets, graphs)."""
        places = self.places()
        return None if places is None else places.repeat(self.copies, 1)

    def places(self) -> Float[Tensor, "places axes"] | None:
        """The same, `copies` times shorter: of one sample where a grid tells where all samples' tokens are."""
        if self.positions is not None or self.grid is None:
            return self.positions
        axes = [torch.arange(size, device=self.lengths.tensor.device, dtype=torch.float32) for size in self.grid]
        return torch.cartesian_prod(*axes).reshape(-1, len(axes))

    @property
    def copies(self) -> int:
        """How often `places` stand behind one another in the coordinates of all tokens."""
        return 1 if self.positions is not None else len(self.lengths)
