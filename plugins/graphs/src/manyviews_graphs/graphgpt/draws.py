"""Random numbers that each sample of a batch has for itself, whatever else is in the batch: hashes of what they are for.

So a graph that is embedded is walked the same way alone and in company. What makes the walks of training differ from
epoch to epoch is the order of a batch: training draws samples at random, evaluation reads them in ascending order. In a
batch in ascending order a sample's numbers follow from the seed and the sample; in any other from the whole batch too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt64

GOLDEN, OTHER = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1B54A32D192ED03)


@dataclass(frozen=True)
class Draws:
    """One key a sample."""

    keys: UInt64[np.ndarray, "samples"]

    @classmethod
    def of(cls, seed: int, index: Int[np.ndarray, "samples"]) -> Draws:
        """For these samples of a data set."""
        batch = [int(number) for number in index] if (np.diff(index) < 0).any() else []
        start = np.random.SeedSequence([seed, *batch]).generate_state(1, np.uint64)
        return cls(mix(start + mix(index.astype(np.uint64))))

    def uniform(
        self, sample: Int[np.ndarray, "draws"], number: Int[np.ndarray, "draws"], use: int
    ) -> Float[np.ndarray, "draws"]:
        """In [0, 1), for each (sample, number within the sample), other ones for each use."""
        place = number.astype(np.uint64) * GOLDEN + np.array([use], dtype=np.uint64) * OTHER
        return (mix(self.keys[sample] + place) >> np.uint64(11)) * 2.0**-53


def mix(value: UInt64[np.ndarray, "draws"]) -> UInt64[np.ndarray, "draws"]:
    """Well-spread numbers from numbers that are alike (SplitMix64, Steele et al. 2014); they overflow by intention."""
    value = value + GOLDEN
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
