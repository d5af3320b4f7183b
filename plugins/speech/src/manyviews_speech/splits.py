"""Which clips train, validate and test: a column says so, one value of a column is held out, or shares are drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Int, Shaped

from manyviews.errors import DataError
from manyviews.source import Labels
from manyviews.splits import VALID_SHARE, check_shares, draw_splits
from manyviews_speech.listing import Item

SAID = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "validation": "valid",
    "dev": "valid",
    "val": "valid",
    "test": "test",
}
"""What data sets call their splits."""


def split_items(
    items: Sequence[Item],
    owners: Int[np.ndarray, "clips"],
    splits: str | Mapping[str, float] | None,
    hold_out: Mapping[str, str | Sequence[str]] | None,
    labels: Labels | None,
    groups: Shaped[np.ndarray, "clips"] | None,
    seed: int,
    column: Callable[[str], Shaped[np.ndarray, "items"]],
    *,
    judged: bool,
) -> Shaped[np.ndarray, "clips"]:
    """The split of every clip.

    Args:
        owners: The item that each clip is of.
        splits: A column, or shares to draw.
        hold_out: Column -> value, or values: those clips test.
        groups: What must not be parted.
        column: Gives a column of the items.
        judged: Whether anything is known that tasks can judge by, so that shares are drawn where none are given.
    """
    own = np.full(len(owners), "train")
    shares: Mapping[str, float] = {}
    if isinstance(splits, str):
        own = np.array([_said(value, item) for value, item in zip(column(splits), items, strict=True)])[owners]
        shares = {} if (own == "valid").any() or not judged else {"valid": VALID_SHARE}
    elif splits is not None:
        check_shares(splits)
        shares = splits
    elif judged:
        shares = {"valid": 0.1} if hold_out else {"valid": 0.1, "test": 0.2}
    for name, values in (hold_out or {}).items():
        own = np.where(_held(name, [values] if isinstance(values, str) else values, column(name)[owners]), "test", own)
    strata = labels.values if labels is not None and labels.kind == "classification" else np.zeros(len(owners), np.int64)
    return draw_splits(own, shares, strata, groups, seed)


def _held(name: str, values: Sequence[str], column: Shaped[np.ndarray, "clips"]) -> Bool[np.ndarray, "clips"]:
    """Which clips are held out."""
    known = sorted(set(column.tolist()))
    for value in values:
        if value not in known:
            raise DataError(f"data.hold_out: {name} {value!r} is of no clips; known: {', '.join(known[:10])}")
    held = np.isin(column, list(values))
    if not held.any() or held.all():
        raise DataError(f"data.hold_out: {name} {list(values)} is of {'all' if held.all() else 'no'} clips; some must stay")
    return held


def _said(value: str, item: Item) -> str:
    if value.lower() not in SAID:
        raise DataError(f"{item.where}: {value!r} is no split; expected one of {', '.join(SAID)}")
    return SAID[value.lower()]
