"""A task in cross-validation: each group (speaker, patient, scene) held out once, or so many folds of whole groups.

Where a data set names no split, or one whose test units share their speakers with training units, this is the honest
number. Every fold's penalty is chosen on training groups alone (`cut`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Shaped
from pydantic import Field
from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold

from manyviews.errors import DataError
from manyviews.evaluate.cut import labels_of
from manyviews.evaluate.task import Embedded, Scores, Task, labelled

NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
Folds = Annotated[int, Field(ge=2)] | Literal["leave_one_group_out"]


def together(notes: Sequence[str]) -> tuple[str, ...]:
    """Of notes that differ in their numbers alone the first, and how many more were like it."""
    alike: dict[str, list[str]] = {}
    for note in dict.fromkeys(notes):
        alike.setdefault(NUMBER.sub("\0", note), []).append(note)
    return tuple(
        found[0] if len(found) == 1 else f"{found[0]} (and {len(found) - 1} alike, with other numbers)"
        for found in alike.values()
    )


class CrossValidated(Task):
    """`task` on every fold: mean and standard deviation over folds, and, where one group is left out, each group's own main
    metric as `<metric>/<group>`.

    Args:
        task: Goes by splits and needs labels.
        folds: `leave_one_group_out`, or a number of folds: of whole groups where there are any, else stratified.
    """

    needs_labels = True
    every_unit = True

    def __init__(self, task: Task, folds: Folds) -> None:
        if not task.needs_labels or task.every_unit or task.needs_pairs:
            raise DataError(f"folds: {type(task).__name__} goes by no splits of labelled units; leave `folds` out")
        self.task, self.folds, self.better = task, folds, task.better
        self.needs_classes = task.needs_classes  # type: ignore[misc]  # the wrapped task's

    def check(self, data: Embedded) -> None:
        for _, fold in self.each(data):
            self.task.check(fold)

    def __call__(self, data: Embedded) -> Scores:
        scored = [(name, self.task(fold)) for name, fold in self.each(data)]
        notes = together([note for _, scores in scored for note in scores.notes])
        whole = Scores.over([scores.metrics for _, scores in scored], notes)
        if self.folds != "leave_one_group_out":
            return whole
        main = next(iter(whole.metrics))
        each = {f"{main}/{name}": scores.metrics[main] for name, scores in scored}
        return replace(whole, metrics={**whole.metrics, **each})

    def each(self, data: Embedded) -> Iterator[tuple[str, Embedded]]:
        """The folds, by name: all labelled units are `train` but those held out, which are `test`."""
        have = labelled(labels_of(data))
        for name, held in self._held_out(data, have):
            splits = np.where(have, np.where(held, "test", "train"), "")
            yield name, replace(data, splits=splits, fold=True)

    def _held_out(self, data: Embedded, have: Shaped[np.ndarray, "units"]) -> Iterator[tuple[str, Shaped[np.ndarray, "units"]]]:
        rows, values = np.flatnonzero(have), labels_of(data).values
        if self.folds == "leave_one_group_out":
            if data.groups is None:
                raise DataError("folds: leave_one_group_out needs groups, and the data have none: name them (data.group=…)")
            groups = np.unique(data.groups[rows])
            if len(groups) < 3:
                raise DataError(f"folds: leave_one_group_out needs 3 groups or more with labels, and there are {len(groups)}")
            yield from ((str(group), data.groups == group) for group in groups)
            return
        classes = labels_of(data).kind == "classification"
        if data.groups is not None:
            parts = GroupKFold(self.folds).split(rows, groups=data.groups[rows])
        elif classes:
            parts = StratifiedKFold(self.folds, shuffle=True, random_state=0).split(rows, values[rows])
        else:
            parts = KFold(self.folds, shuffle=True, random_state=0).split(rows)
        for number, (_, held) in enumerate(parts):
            mask = np.zeros(len(have), dtype=bool)
            mask[rows[held]] = True
            yield str(number), mask
