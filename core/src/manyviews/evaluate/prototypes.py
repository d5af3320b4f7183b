"""Nearest class mean, and few-shot classification by it.

Prototypes are means of unit vectors (Snell et al. 2017), the mean of the labelled units taken away first (SimpleShot, Wang et
al. 2019). Few-shot: episodes of so many labelled units a class, all reported units asked.
Transductive: prototypes are refined by soft k-means with the reported units themselves (Ren et al. 2018), without their labels.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from manyviews.errors import DataError
from manyviews.evaluate import metrics
from manyviews.evaluate.cut import Cut, cut, labels_of
from manyviews.evaluate.task import Embedded, Scores, Task, class_name
from manyviews.evaluate.threads import torch_threads
from manyviews.source import Labels


def prototypes(units: Float[Tensor, "units width"], y: Int[Tensor, "units"], classes: int) -> Float[Tensor, "classes width"]:
    """The mean of each class's units; zero for a class without any."""
    places = F.one_hot(y, classes).to(units.dtype)
    return places.T @ units / places.sum(0).clamp(min=1)[:, None]


def likeness(
    asked: Float[Tensor, "asked width"], means: Float[Tensor, "classes width"], there: Tensor, temperature: float
) -> Float[Tensor, "asked classes"]:
    """Softmax over minus the squared distance to each prototype; nothing for classes that are not `there`."""
    distance = torch.cdist(asked, means).square()
    return torch.where(there, -distance / temperature, -torch.inf).softmax(1)


def refined(
    known: Float[Tensor, "known width"],
    y: Int[Tensor, "known"],
    asked: Float[Tensor, "asked width"],
    classes: int,
    temperature: float,
    rounds: int,
) -> Float[Tensor, "classes width"]:
    """Prototypes after `rounds` of soft k-means over the labelled units, which keep their class, and the asked ones."""
    places = F.one_hot(y, classes).to(known.dtype)
    there = places.sum(0) > 0
    means = prototypes(known, y, classes)
    for _ in range(rounds):
        share = likeness(asked, means, there, temperature)
        weight = places.sum(0) + share.sum(0)
        means = (places.T @ known + share.T @ asked) / weight.clamp(min=torch.finfo(known.dtype).tiny)[:, None]
    return means


class _ByPrototypes(Task):
    """What the two tasks share: centred unit vectors, and metrics of the reported units."""

    needs_labels = True
    needs_classes = True
    better = metrics.BETTER
    temperature: float
    rounds: int

    def cut(self, data: Embedded) -> Cut:
        """The units by role; there is nothing to choose."""
        labels = labels_of(data)
        if labels.kind != "classification":
            raise DataError(f"labels {labels.name!r} are numbers, and prototypes are of classes: use linear_probe or ridge")
        return cut(data, choosing=False)

    def judged(self, data: Embedded, fit: Int[np.ndarray, "fit"], report: Int[np.ndarray, "report"]) -> dict[str, float]:
        """Metrics of `report`, by prototypes of `fit`."""
        labels = labels_of(data)
        x = torch.from_numpy(np.ascontiguousarray(data.x, dtype=np.float64))
        known, asked = (F.normalize(x[rows] - x[fit].mean(0), dim=1) for rows in (fit, report))
        y, classes = torch.from_numpy(labels.values[fit]), metrics.class_count(labels)
        means = refined(known, y, asked, classes, self.temperature, self.rounds)
        there = F.one_hot(y, classes).sum(0) > 0
        return metrics.classification(labels, report, likeness(asked, means, there, self.temperature).numpy())


class Prototypes(_ByPrototypes):
    """The nearest class mean, on unit vectors centred on the training units. Reports as the linear probe does.

    Args:
        temperature: Of the softmax over squared distances.
    """

    def __init__(self, *, temperature: PositiveFloat = 0.1) -> None:
        self.temperature, self.rounds = temperature, 0

    def check(self, data: Embedded) -> None:
        self.cut(data)

    def __call__(self, data: Embedded) -> Scores:
        parts = self.cut(data)
        with torch_threads():
            return Scores(self.judged(data, parts.fit, parts.report), notes=parts.notes)


class FewShot(_ByPrototypes):
    """Prototypes of 1, 5 and 10 labelled units a class: mean and standard deviation over `episodes` of `<metric>_<shots>_shot`.

    Whole groups are not kept apart within the training units, but never cross into the reported ones.

    Args:
        shots: Labelled units a class.
        episodes: Draws of labelled units.
        transductive: Refine the prototypes with the reported units, without their labels.
        temperature: Of the softmax over squared distances.
        rounds: Of the refinement.
        metric: What is reported.
        seed: Of the first episode.
    """

    def __init__(
        self,
        *,
        shots: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1, 5, 10),
        episodes: PositiveInt = 20,
        transductive: bool = False,
        temperature: PositiveFloat = 0.1,
        rounds: PositiveInt = 10,
        metric: Literal["accuracy", "balanced_accuracy", "macro_f1", "auc"] = "accuracy",
        seed: NonNegativeInt = 0,
    ) -> None:
        self.shots, self.episodes, self.metric, self.seed = tuple(sorted(shots)), episodes, metric, seed
        self.temperature, self.rounds = temperature, rounds if transductive else 0
        self.better = {self.named(count): "higher" for count in self.shots}

    def named(self, count: int) -> str:
        """The metric of so many shots."""
        return f"{self.metric}_{count}_shot"

    def check(self, data: Embedded) -> None:
        self.possible(data, self.cut(data))

    def possible(self, data: Embedded, parts: Cut) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """The shots that every class of the training units has enough for; and a note where some are left out.

        Raises:
            DataError: Not even the fewest.
        """
        labels = labels_of(data)
        numbers, counts = np.unique(labels.values[parts.fit], return_counts=True)
        fewest = int(counts.min())
        fitting = tuple(count for count in self.shots if count <= fewest)
        rare = class_name(labels, int(numbers[counts.argmin()]))
        if not fitting:
            raise DataError(
                f"labels {labels.name!r}: class {rare} has {fewest} labelled training units, fewer than {self.shots[0]} shots"
            )
        left = [count for count in self.shots if count > fewest]
        return fitting, (f"no {' or '.join(map(str, left))} shots: class {rare} has {fewest} training units",) if left else ()

    def __call__(self, data: Embedded) -> Scores:
        parts, labels = self.cut(data), labels_of(data)
        shots, notes = self.possible(data, parts)
        runs = []
        with torch_threads():
            for episode in range(self.episodes):
                order = np.random.default_rng(self.seed + episode).permutation(parts.fit)
                drawn = {count: first_of_each(labels, order, count) for count in shots}
                runs.append({self.named(c): self.judged(data, fit, parts.report)[self.metric] for c, fit in drawn.items()})
        return Scores.over(runs, (*parts.notes, *notes))


def first_of_each(labels: Labels, order: Int[np.ndarray, "rows"], count: int) -> Int[np.ndarray, "drawn"]:
    """The first `count` of each class in `order`: fewer shots are a part of more."""
    values = labels.values[order]
    by_class = np.argsort(values, kind="stable")
    _, starts = np.unique(values[by_class], return_index=True)
    rank = np.arange(len(values)) - np.repeat(starts, np.diff([*starts, len(values)]))
    return np.sort(order[by_class[rank < count]])
