"""From which to which stored number a volume is scaled to 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from manyviews.errors import DataError
from manyviews_medical.prepare import Volume
from manyviews_medical.spec import Intensity


def ends_of(
    volumes: Sequence[Volume], how: Intensity
) -> tuple[Float[np.ndarray, "volumes channels"], Float[np.ndarray, "volumes channels"]]:
    """Low and high end of each volume's channels."""
    for name, (low, high) in {"window": how.window, "percentiles": how.percentiles}.items():
        if low >= high:
            raise DataError(f"data.intensity.{name}: {low:g} to {high:g} is no range; write the low end first")
    both = np.array(
        [[_ends(volume, channel, how) for channel in range(volume.image.channels)] for volume in volumes], np.float32
    )
    return both[..., 0], both[..., 1]


def _ends(volume: Volume, channel: int, how: Intensity) -> tuple[float, float]:
    about = volume.image.about
    if how.kind == "zscore":
        mean, std = about["mean"][channel], about["std"][channel]
        return mean, mean + max(std, 1e-6)
    if how.kind == "window" or (how.kind == "auto" and volume.modality == "CT"):
        low, high = ((value - about["intercept"]) / about["slope"] for value in how.window)
        return low, high
    low, high = (volume.value_at(channel, percent) for percent in how.percentiles)
    if low == high:  # almost all voxels are alike: a mask, or a few bright ones
        low, high = volume.value_at(channel, 0), volume.value_at(channel, 100)
    return (high, low) if about["slope"] < 0 else (low, high)
