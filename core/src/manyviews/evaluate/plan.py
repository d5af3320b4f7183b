"""Tasks as a recipe asks for them: named, with their form and their rhythm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from manyviews.errors import DataError
from manyviews.evaluate.folds import CrossValidated, Folds
from manyviews.evaluate.task import Task
from manyviews.recipe.model import Evaluation
from manyviews.source import Source


@dataclass(frozen=True)
class Planned:
    """A task that is built, and when and on what it runs."""

    name: str
    """Unique among the planned: the middle of a metric's name, `eval/<name>/accuracy`."""
    task: Task
    every: int | None = None
    """Steps between two runs; None: at the end only."""
    form: Literal["pooled", "flat"] = "pooled"
    set: str | None = None
    """Labelled set that it is run on; None: the run's own data."""

    def due(self, step: int, last: bool) -> bool:
        return last or (self.every is not None and step > 0 and step % self.every == 0)


def plan(evaluations: Sequence[Evaluation], tasks: Sequence[Task], *, every_form: bool = False) -> tuple[Planned, ...]:
    """The evaluations of a recipe and, in the same order, the tasks built from them.

    Named as the recipe says, else by the task (`linear_probe`), with `_by_group` where groups are held out in turn
    (`_5_folds`), with `_on_<set>` for a set of its own, with `_flat` for the flat form, and numbered from the
    second of a name on.
    With `every_form` (offline, where each task runs in every form) evaluations that differ in form or rhythm alone
    are one, and no name tells a form.
    """
    seen: Counter[str] = Counter()
    planned: list[Planned] = []
    kinds: list[tuple[str, str | None, Folds | None, dict[str, Any]]] = []
    for evaluation, task in zip(evaluations, tasks, strict=True):
        kind = (evaluation.task, evaluation.set, evaluation.folds, evaluation.parameters)
        if every_form and kind in kinds:
            continue
        kinds.append(kind)
        name = evaluation.name or evaluation.task
        if evaluation.folds is not None:
            task = CrossValidated(task, evaluation.folds)
            by = "by_group" if evaluation.folds == "leave_one_group_out" else f"{evaluation.folds}_folds"
            name = evaluation.name or f"{name}_{by}"
        if evaluation.set is not None:
            name = evaluation.name or f"{name}_on_{evaluation.set}"
        name = name if every_form or evaluation.form == "pooled" else f"{name}_{evaluation.form}"
        seen[name] += 1
        unique = name if seen[name] == 1 else f"{name}_{seen[name]}"
        planned.append(Planned(unique, task, evaluation.every, evaluation.form, evaluation.set))
    return tuple(planned)


Need = Literal["labels", "classes", "pairs", "events"]


def missing(task: Task, source: Source) -> Need | None:
    """What the task needs and the source has not; None where it has all."""
    labels = source.labels()
    if task.needs_labels and labels is None:
        return "labels"
    if task.needs_classes and labels is not None and labels.kind != "classification":
        return "classes"
    if task.needs_events and source.events() is None:
        return "events"
    return "pairs" if task.needs_pairs and source.pairs() is None else None


def only_tested(task: Task, source: Source) -> bool:
    """Whether all that the task judges is the test split's, which training does not look at: a published list of trials."""
    pairs = source.pairs()
    return task.needs_pairs and pairs is not None and len(pairs.left) > 0 and bool((pairs.splits == "test").all())


def check_needs(planned: Sequence[Planned], source: Source) -> None:
    """Refuse tasks that need labels, pairs or events on a source that has none, before anything is embedded.

    Raises:
        DataError: names the task and the source.
    """
    for item in planned:
        lack = missing(item.task, source)
        if lack is not None:
            raise DataError(
                f"task {item.name!r} needs {lack}, and {type(source).__name__} has none\n"
                f"name the {lack} in `data`, or leave the task out of `evaluate`"
            )
