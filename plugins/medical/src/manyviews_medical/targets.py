"""What probes predict of a volume: a column of the manifest or of the participants."""

from __future__ import annotations

from collections.abc import Sequence

from manyviews.errors import DataError
from manyviews.labelling import TextKind, labels_of_text
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


def target_of(cases: Sequence[Case], name: str | None, kind: TextKind, *, required: bool) -> Labels | None:
    """The labels of the volumes; None where none are asked for, or where new data have no such column."""
    if name is None or (not required and not all(name in case.columns for case in cases)):
        return None
    return labels_of_text(name, column(cases, name), kind, lambda number: cases[number].where or cases[number].name)
