"""Which labelled units a probe is fitted on, chooses its parameters on and reports.

The split that is reported is never looked at when choosing. Where the data have no split for a role, one is cut from
the training units (whole groups together, else stratified by class) with a fixed seed, so that every task and every
encoder is judged on the same units, and the result says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int
from sklearn.model_selection import GroupShuffleSplit

from manyviews.errors import DataError
from manyviews.evaluate.stratify import stratified_order
from manyviews.evaluate.task import Embedded, class_name, labelled
from manyviews.source import Labels

SHARE = 0.2
"""Share of the training units (or groups) that is cut off where a split is missing."""


@dataclass(frozen=True)
class Cut:
    """Rows of labelled units, by role."""

    fit: Int[np.ndarray, "fit"]
    choose: Int[np.ndarray, "choose"]
    """Empty where the task has nothing to choose."""
    report: Int[np.ndarray, "report"]
    notes: tuple[str, ...]


def cut(data: Embedded, *, choosing: bool) -> Cut:
    """Fit on train, choose on valid, report on test (on valid where there is no test split, choosing on a cut of train).

    Raises:
        DataError: no labels, too few labelled units, a class that cannot be cut, nothing to learn in the training units.
    """
    labels = labels_of(data)
    have = labelled(labels)
    train, valid, test = (rows[have[rows]] for rows in (data.rows("train"), data.rows("valid"), data.rows("test")))
    notes = _shared_groups(data, np.concatenate([train, valid, test]))
    if len(train) < 2:
        raise DataError(f"labels {labels.name!r}: {len(train)} labelled training units; a probe needs at least 2")
    report, choose = (test, valid) if len(test) else (valid, test)
    if not len(report):
        train, report = cut_off(data, train)
        notes += (_note(data, "reported on", len(report)),)
    if choosing and not len(choose):
        train, choose = cut_off(data, train)
        notes += (_note(data, "the penalty chosen on", len(choose)),)
    check_varied(labels, train, "training")
    if not (data.fold and labels.kind == "classification"):
        check_varied(labels, report, "reported")
    return Cut(train, choose, report, notes)


def labels_of(data: Embedded) -> Labels:
    """The labels, or the error that there are none."""
    if data.labels is None:
        raise DataError("this task needs labels, and the source has none: name the label column or leave the task out")
    return data.labels


def cut_off(data: Embedded, rows: Int[np.ndarray, "rows"]) -> tuple[Int[np.ndarray, "rest"], Int[np.ndarray, "cut"]]:
    """`rows` without `SHARE` of them, and that share: whole groups, else stratified by class."""
    labels = labels_of(data)
    if len(rows) < 3:
        raise DataError(f"labels {labels.name!r}: {len(rows)} labelled training units are too few to cut a split from")
    if data.groups is not None:
        groups = data.groups[rows]
        if len(np.unique(groups)) < 2:
            raise DataError(f"all {len(rows)} labelled training units are of one group; give a valid split or 2 groups or more")
        rest, off = next(GroupShuffleSplit(1, test_size=SHARE, random_state=0).split(rows, groups=groups))
        return rows[np.sort(rest)], rows[np.sort(off)]
    generator = np.random.default_rng(0)
    if labels.kind == "regression":
        order = generator.permutation(len(rows))
    else:
        _check_no_single(labels, rows)
        order = stratified_order(labels.values[rows], generator, each_first=False)
    size = int(np.ceil(SHARE * len(rows)))
    return rows[np.sort(order[size:])], rows[np.sort(order[:size])]


def check_varied(labels: Labels, rows: Int[np.ndarray, "rows"], role: str) -> None:
    """Refuse units from which nothing can be learnt, or of which nothing can be reported: one class, a constant target."""
    distinct = np.unique(labels.values[rows])
    if len(distinct) > 1:
        return
    if labels.kind == "classification":
        name = class_name(labels, int(distinct[0]))
        raise DataError(f"labels {labels.name!r}: the {len(rows)} {role} units are all of class {name}; expected 2 or more")
    raise DataError(f"labels {labels.name!r}: the target is {distinct[0]:g} in all {len(rows)} {role} units; it must vary")


def _check_no_single(labels: Labels, rows: Int[np.ndarray, "rows"]) -> None:
    numbers, counts = np.unique(labels.values[rows], return_counts=True)
    if counts.min() == 1:
        name = class_name(labels, int(numbers[counts.argmin()]))
        raise DataError(
            f"labels {labels.name!r}: class {name} has one labelled training unit, so no valid split can be cut\n"
            "give a valid split, merge the class into another, or leave its unit unlabelled (-1)"
        )


def _note(data: Embedded, role: str, count: int) -> str:
    how = (
        "whole groups" if data.groups is not None else "stratified" if labels_of(data).kind == "classification" else "at random"
    )
    return f"{role} {count:,} units cut from the training units ({how}): no split is left for it"


def _shared_groups(data: Embedded, rows: Int[np.ndarray, "rows"]) -> tuple[str, ...]:
    if data.groups is None or not len(rows):
        return ()
    pairs = np.unique(
        np.stack([np.unique(data.groups[rows], return_inverse=True)[1], np.unique(data.splits[rows], return_inverse=True)[1]]),
        axis=1,
    )
    torn = int((np.bincount(pairs[0]) > 1).sum())
    return (f"{torn:,} groups stand in more than one split: the numbers may be too good",) if torn else ()
