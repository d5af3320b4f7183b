"""Which volumes train, validate and test: a column says so, or shares of the patients are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Shaped

from manyviews.errors import DataError
from manyviews.source import Labels
from manyviews.splits import VALID_SHARE, check_shares, draw_splits
from manyviews_medical.case import Case
from manyviews_medical.targets import column

SAID = {
    "train": "train",
    "training": "train",
    "valid": "valid",
    "validation": "valid",
    "val": "valid",
    "dev": "valid",
    "test": "test",
}
"""What data sets call their splits."""


def split_volumes(
    cases: Sequence[Case],
    splits: str | Mapping[str, float] | None,
    labels: Labels | None,
    owners: Shaped[np.ndarray, "volumes"],
    seed: int,
) -> Shaped[np.ndarray, "volumes"]:
    """The split of every volume; those of one patient stay together."""
    own = np.full(len(cases), "train")
    shares: Mapping[str, float] = {}
    if isinstance(splits, str):
        own = np.array([_said(value, case) for value, case in zip(column(cases, splits), cases, strict=True)])
        shares = {} if (own == "valid").any() or labels is None else {"valid": VALID_SHARE}
        _refuse_torn(own, owners)
    elif splits is not None:
        check_shares(splits)
        shares = splits
    elif labels is not None:
        shares = {"valid": 0.1, "test": 0.2}
    strata = labels.values if labels is not None and labels.kind == "classification" else np.zeros(len(cases), np.int64)
    alone = len(set(owners.tolist())) == len(owners)
    return draw_splits(own, shares, strata, None if alone else owners.astype(str), seed)


def _said(value: str, case: Case) -> str:
    if value.lower() not in SAID:
        raise DataError(f"{case.where or case.name}: {value!r} is no split; expected one of {', '.join(SAID)}")
    return SAID[value.lower()]


def _refuse_torn(own: Shaped[np.ndarray, "volumes"], owners: Shaped[np.ndarray, "volumes"]) -> None:
    for owner in dict.fromkeys(owners.tolist()):
        if len(found := sorted(set(own[owners == owner].tolist()))) > 1:
            raise DataError(
                f"data.splits: volumes of patient {owner} stand in {' and '.join(found)}; a patient belongs to one split"
            )
