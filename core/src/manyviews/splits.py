"""Which samples train, validate and test where the data do not say: drawn by share, alike every time and on every machine."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int, Shaped

from manyviews.errors import DataError

NAMES = ("train", "valid", "test")
VALID_SHARE = 0.1
"""Part of the training samples that validates where none are named."""


def draw_splits(
    splits: Shaped[np.ndarray, "samples"],
    shares: Mapping[str, float],
    strata: Int[np.ndarray, "samples"],
    groups: Shaped[np.ndarray, "samples"] | None,
    seed: int,
) -> Shaped[np.ndarray, "samples"]:
    """Moves shares of the training samples to other splits: whole groups where there are any, else evenly from each stratum."""
    splits = splits.copy()
    train = np.flatnonzero(splits == "train")
    owners = strata if groups is None else np.unique(groups, return_inverse=True)[1]
    random = np.random.default_rng(seed)
    units = [train] if groups is not None else [train[owners[train] == stratum] for stratum in np.unique(owners[train])]
    for unit in units:
        order = random.permutation(len(unit)) if groups is None else _by_group(owners[unit], random)
        start = 0
        for name, share in shares.items():
            stop = start + round(share * len(unit))
            stop = stop if groups is None else _group_end(owners[unit][order], stop)
            splits[unit[order[start:stop]]] = name
            start = stop
    return splits


def _by_group(owners: Int[np.ndarray, "samples"], random: np.random.Generator) -> Int[np.ndarray, "samples"]:
    """Samples ordered so that groups stand together, the groups at random."""
    place = random.permutation(owners.max() + 1)
    return np.argsort(place[owners], kind="stable")


def _group_end(owners: Int[np.ndarray, "samples"], stop: int) -> int:
    """The end of the group in which a cut at `stop` would fall."""
    while 0 < stop < len(owners) and owners[stop] == owners[stop - 1]:
        stop += 1
    return stop


def check_shares(shares: Mapping[str, float]) -> None:
    """Shares are of valid and test, and leave something to train on."""
    if unknown := sorted(set(shares) - {"valid", "test"}):
        raise DataError(
            f"data.splits: {unknown[0]!r} is no split with a share; give those of valid and test: {{valid: 0.1, test: 0.2}}"
        )
    if any(not 0 <= share < 1 for share in shares.values()) or sum(shares.values()) >= 1:
        raise DataError(
            f"data.splits: shares {dict(shares)} leave nothing to train on; they must be 0 or more and add up to less than 1"
        )
