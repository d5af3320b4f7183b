"""What probes predict of a volume: a column of the manifest or of the participants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from manyviews.errors import DataError
from manyviews.plugins.suggest import did_you_mean
from manyviews.source import Labels
from manyviews_medical.case import Case


def column(cases: Sequence[Case], name: str) -> list[str]:
    """A column, as text."""
    for case in cases:
        if name not in case.columns:
            known = sorted({key for other in cases for key in other.columns})
            raise DataError(
                f"{case.where or case.name}: there is no column {name!r} (known: {', '.join(known) or 'none: give a manifest'})"
                f"{did_you_mean(name, known)}"
            )
    return [case.columns[name] for case in cases]


def target_of(cases: Sequence[Case], name: str | None, kind: Literal["classes", "numbers"], *, required: bool) -> Labels | None:
    """The labels of the volumes; None where none are asked for, or where new data have no such column."""
    if name is None or (not required and not all(name in case.columns for case in cases)):
        return None
    text = column(cases, name)
    if kind == "numbers":
        return Labels(
            name, "regression", np.array([_number(value, name, case) for value, case in zip(text, cases, strict=True)])
        )
    classes = sorted({value for value in text if value not in MISSING})
    place = {value: number for number, value in enumerate(classes)}
    return Labels(name, "classification", np.array([place.get(value, -1) for value in text]), tuple(classes))


MISSING = ("", "n/a", "N/A", "NA", "nan")
"""How manifests and BIDS say that nothing is known."""


def _number(value: str, name: str, case: Case) -> float:
    try:
        return float("nan") if value in MISSING else float(value)
    except ValueError as error:
        raise DataError(f"{case.where or case.name}: the target {name!r} is to be a number, and is {value!r}") from error
