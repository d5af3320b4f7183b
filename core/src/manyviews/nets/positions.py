"""Fixed sine and cosine positions in any number of dimensions."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def sincos(positions: Float[Tensor, "tokens axes"], width: int, *, base: float = 10_000.0) -> Float[Tensor, "tokens width"]:
    """Sine and cosine of each coordinate at geometrically spaced frequencies (Vaswani et al. 2017, section 3.5).

    Every axis gets the same, even number of channels; channels that do not divide are zero.
    """
    axes = positions.shape[1]
    half = width // (2 * axes)
    frequencies = base ** -(torch.arange(half, device=positions.device, dtype=positions.dtype) / max(half, 1))
    angles = (positions[:, :, None] * frequencies).flatten(1)
    encoded = torch.cat([angles.sin(), angles.cos()], dim=1)
    return torch.nn.functional.pad(encoded, (0, width - encoded.shape[1]))
