"""Which samples train, validate and test where the data do not say: drawn by share, alike every time and on every machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from jaxtyping import Bool, Int, Shaped, UInt8

from manyviews.errors import DataError
from manyviews.shuffle import AT_ONCE, Permutation
from manyviews.subset import Subset

NAMES = ("train", "valid", "test")
VALID_SHARE = 0.1
"""Part of the training samples that validates where none are named."""


TRAIN: Final = NAMES.index("train")
Codes = UInt8[np.ndarray, "samples"]
"""Splits by their number in `NAMES`: a byte each, where text takes twenty."""


def draw_splits(
    splits: Shaped[np.ndarray, "samples"],
    shares: Mapping[str, float],
    strata: Int[np.ndarray, "samples"],
    groups: Shaped[np.ndarray, "samples"] | None,
    seed: int,
) -> Shaped[np.ndarray, "samples"]:
    """Moves shares of the training samples to other splits: whole groups where there are any, else evenly from each stratum."""
    train = splits == "train"
    return np.where(train, np.array(NAMES)[draw_codes(train, shares, strata, groups, seed)], splits)


def draw_codes(
    train: Bool[np.ndarray, "samples"],
    shares: Mapping[str, float],
    strata: Int[np.ndarray, "samples"],
    groups: Shaped[np.ndarray, "samples"] | None,
    seed: int,
) -> Codes:
    """What `draw_splits` makes of the training samples, as codes; without groups in next to no further memory."""
    codes, random = np.full(len(train), TRAIN, np.uint8), np.random.default_rng(seed)
    if groups is None:
        for stratum in np.unique(strata[train]):
            unit = Subset(len(train), train & (strata == stratum))
            _share_out(codes, unit, Permutation(len(unit), random), shares)
        return codes
    owners = np.unique(groups, return_inverse=True)[1][train]
    order = _by_group(owners, random)
    _share_out(codes, Subset(len(train), train), order, shares, owners[order])
    return codes


def _share_out(
    codes: Codes,
    unit: Subset,
    order: Permutation | Int[np.ndarray, "unit"],
    shares: Mapping[str, float],
    owners: Int[np.ndarray, "unit"] | None = None,
) -> None:
    """The first so many of an order to each split, to the end of a group where there are owners."""
    start = 0
    for name, share in shares.items():
        stop = min(start + round(share * len(unit)), len(unit))  # a large group may have taken what was another split's
        stop = stop if owners is None else _group_end(owners, stop)
        for first in range(start, stop, AT_ONCE):
            codes[unit[order[np.arange(first, min(first + AT_ONCE, stop))]]] = NAMES.index(name)
        start = stop


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
