"""Keep one of what is alike: the first of the samples left, without all that are redundant to it, until none is left.

"Less is more" (2024): of each scan a few slices stay, and classifiers pretrained on those alone are better and many times
sooner done. The order is the data's, so the same samples stay every time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Shaped

from manyviews.curate.measures import Measure


@dataclass(frozen=True)
class Curation:
    """Which samples stay, and which of them each other one is redundant to."""

    kept: Int[np.ndarray, "kept"]
    dropped: Int[np.ndarray, "dropped"]
    like: Int[np.ndarray, "dropped"]
    """The kept sample that each dropped one is like."""


def reduce(
    measure: Measure,
    samples: Int[np.ndarray, "samples"],
    threshold: float,
    groups: Shaped[np.ndarray, "samples"] | None = None,
) -> Curation:
    """Of samples no farther apart than `threshold` one stays.

    Args:
        measure: Of these samples, in this order.
        samples: Their numbers in the source.
        threshold: In the measure's terms; 0 drops what is equal to it.
        groups: Compared within each group alone: slices of a volume, tiles of a scene. None: with all.
    """
    owners = np.zeros(len(samples), np.int64) if groups is None else np.unique(groups, return_inverse=True)[1]
    kept, dropped, like = [], [], []
    for owner in np.unique(owners):
        left = np.flatnonzero(owners == owner)
        while len(left):
            first, left = int(left[0]), left[1:]
            kept.append(first)
            near = measure.distances(first, left) <= threshold
            dropped += left[near].tolist()
            like += [first] * int(near.sum())
            left = left[~near]
    order = np.argsort(dropped)
    return Curation(samples[np.sort(kept)], samples[np.array(dropped, int)[order]], samples[np.array(like, int)[order]])
