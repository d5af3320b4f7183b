"""Where the crops of a volume lie: the first at the body's centre, the others anywhere in the body, always the same ones."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from manyviews_medical.spec import VolumeSpec
from manyviews_medical.store import Stored

PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}
"""The axis that a slice is taken across, of a volume turned to right, anterior, superior."""


def crop_shape(spec: VolumeSpec) -> tuple[int, int, int]:
    """A crop as a box in the volume: a slice is a box of one voxel across."""
    if spec.axes == 3:
        x, y, z = spec.crop
        return x, y, z
    sides = list(spec.crop)
    sides.insert(PLANES[spec.plane], 1)
    return sides[0], sides[1], sides[2]


def place_of(stored: Stored, shape: tuple[int, int, int], number: int, seed: tuple[int, ...]) -> Int[np.ndarray, "3"]:
    """The first voxel of crop `number`; negative along an axis on which the volume is smaller than the crop."""
    box = np.array(stored.about["box"])
    size, volume = np.array(shape), np.array(stored.shape)
    if number == 0:
        start = (box.sum(1) - size) // 2
    else:
        # At least half of the crop's centre region meets the body; the dark rest of a scan teaches nothing.
        low, high = box[:, 0], np.maximum(box[:, 1] - size, box[:, 0])
        start = np.random.default_rng([*seed, number]).integers(low, high + 1)
    inside = np.clip(start, 0, np.maximum(volume - size, 0))
    return np.where(volume < size, (volume - size) // 2, inside)
