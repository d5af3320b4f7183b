"""Which rows train, validate and test: from a file, or drawn by share; alike every time and on every machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Int, Shaped

from manyviews.errors import DataError
from manyviews_tabular.reading import read_csv

NAMES = ("train", "valid", "test")
VALID_SHARE = 0.1
"""Part of the training rows that validates where a split file names no validation rows."""


def read_splits(path: str, rows: int) -> Shaped[np.ndarray, "rows"]:
    """The `split` column of a CSV file: train, valid or test for each row of the table, in its order."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise DataError(f"data.splits: there is no file {path}")
    table = read_csv(file)
    if "split" not in table.column_names:
        raise DataError(f"{path}: there is no column 'split' (it has: {', '.join(table.column_names)})")
    found = np.array(table["split"].to_pylist(), dtype=str)
    if len(found) != rows:
        raise DataError(
            f"{path}: {len(found):,} splits for {rows:,} rows; give one of train, valid, test for each row of the table"
        )
    if wrong := sorted(set(found.tolist()) - set(NAMES)):
        raise DataError(f"{path}: {wrong[0]!r} is no split; expected train, valid or test")
    return found


def draw_splits(
    splits: Shaped[np.ndarray, "rows"],
    shares: Mapping[str, float],
    strata: Int[np.ndarray, "rows"],
    groups: Shaped[np.ndarray, "rows"] | None,
    seed: int,
) -> Shaped[np.ndarray, "rows"]:
    """Moves shares of the training rows to other splits: whole groups where there are groups, else evenly from each stratum."""
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


def _by_group(owners: Int[np.ndarray, "rows"], random: np.random.Generator) -> Int[np.ndarray, "rows"]:
    """Rows ordered so that groups stand together, the groups at random."""
    place = random.permutation(owners.max() + 1)
    return np.argsort(place[owners], kind="stable")


def _group_end(owners: Int[np.ndarray, "rows"], stop: int) -> int:
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
