"""Fixed sine and cosine positions in any number of dimensions."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

OF_SEQUENCES, OF_GRIDS = 10_000.0, 100.0
"""How many times as long the longest wavelength is as the shortest."""


def sincos(positions: Float[Tensor, "tokens axes"], width: int) -> Float[Tensor, "tokens width"]:
    """Sine and cosine of each coordinate at geometrically spaced frequencies (Vaswani et al. 2017, section 3.5).

    Every axis gets the same, even number of channels; channels that do not divide are zero. The base is 10,000 for one axis,
    along which there may be thousands of places, and 100 for several, as rotary positions of images have it (Heo et al. 2024):
    on a grid of six patches a side 10,000 would make two thirds of the channels the same for all.
    """
    axes = positions.shape[1]
    half, base = width // (2 * axes), OF_SEQUENCES if axes == 1 else OF_GRIDS
    frequencies = base ** -(torch.arange(half, device=positions.device, dtype=positions.dtype) / max(half, 1))
    angles = (positions[:, :, None] * frequencies).flatten(1)
    encoded = torch.cat([angles.sin(), angles.cos()], dim=1)
    return torch.nn.functional.pad(encoded, (0, width - encoded.shape[1]))
