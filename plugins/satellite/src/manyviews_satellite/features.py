"""Image statistics: the plain baseline that learnt features of multispectral images have to beat.

Corley et al. 2023 (Revisiting pre-trained remote sensing model benchmarks): mean, deviation, least and largest number
of each of 13 bands reach 89% on EuroSAT.
"""

from __future__ import annotations

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float

from manyviews_satellite.batch import TileBatch
from manyviews_satellite.spec import TileSpec


def image_statistics(batch: TileBatch, spec: TileSpec) -> Float[np.ndarray, "tiles features"]:
    """Of each date and band over valid pixels; 0, the training data's mean, where a tile has none."""
    content = rearrange(batch.content(spec), "tiles dates bands rows cols -> tiles (dates bands) (rows cols)")
    known = ~content.isnan()
    some = known.any(2)
    mean = content.nanmean(2)
    deviation = (content - mean[..., None]).square().nanmean(2).sqrt()
    least = content.masked_fill(~known, torch.inf).amin(2)
    largest = content.masked_fill(~known, -torch.inf).amax(2)
    found = torch.stack([mean, deviation, least, largest], dim=2)
    found = torch.where(some[..., None], found, found.new_zeros(()))
    features: np.ndarray = rearrange(found, "tiles bands numbers -> tiles (numbers bands)").numpy()
    return features
