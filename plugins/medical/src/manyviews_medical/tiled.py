"""All of each volume: crops side by side, for maps of what an encoder makes of every place."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
from jaxtyping import Int

from manyviews.source import Source
from manyviews_medical.batch import VolumeBatch
from manyviews_medical.crops import Crops
from manyviews_medical.source import VolumeSource
from manyviews_medical.spec import VolumeSpec


class Tiled(Source):
    """The volumes of a source, cut so that every voxel lies in a crop; the last crop of an axis is moved inwards.

    Args:
        source: Gives the volumes and how they are read.
    """

    spec: VolumeSpec

    def __init__(self, source: VolumeSource) -> None:
        self.source, self.spec, self.volumes = source, source.spec, source.volumes
        self._read = Crops(source.volumes, source.spec)
        self.shape = self._read.shape
        each = [list(product(*map(_starts, volume.image.shape, self.shape))) for volume in self.volumes]
        self.of = np.repeat(np.arange(len(each)), [len(starts) for starts in each])
        self.starts: Int[np.ndarray, "samples 3"] = np.array([start for starts in each for start in starts], np.int64)
        """The first voxel of each crop; negative where a volume is smaller than a crop."""

    def __len__(self) -> int:
        return len(self.of)

    def batch(self, index: Int[np.ndarray, "samples"]) -> VolumeBatch:
        return self._read.read(self.of[index], self.starts[index])

    def fingerprint(self) -> Mapping[str, Any]:
        return {**self.source.fingerprint(), "cut": "side by side"}


def _starts(volume: int, crop: int) -> list[int]:
    """Of crops along an axis."""
    if volume <= crop:
        return [(volume - crop) // 2]
    return [*range(0, volume - crop, crop), volume - crop]
