"""What an evaluation task is given and what it returns.

A task sees embeddings and never the encoder, so that raw input, an untrained encoder and a trained one are judged by
the same code, and a task written once judges every domain.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from manyviews.errors import DataError
from manyviews.events import Events
from manyviews.source import Labels, Pairs, Split

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Timed:
    """Whole samples whose units are frames, and what happens in them."""

    counts: Int[np.ndarray, "samples"]
    """Frames of each, one sample's after another's."""
    events: Events
    """Of these samples, by their places here."""
    splits: Shaped[np.ndarray, "samples"]
    groups: Shaped[np.ndarray, "samples"] | None = None


@dataclass(frozen=True)
class Embedded:
    """Units (samples, or tokens where the recipe's unit is the token) as vectors, with what is known of them."""

    x: Float[np.ndarray, "units width"]
    splits: Shaped[np.ndarray, "units"]
    """`train`, `valid` or `test`; "" for units of none, which tasks of `every_unit` are given too."""
    labels: Labels | None = None
    groups: Shaped[np.ndarray, "units"] | None = None
    pairs: Pairs | None = None
    """Of these units, by their places here; for a task that needs them."""
    views: Float[np.ndarray, "views units view_width"] | None = None
    """The same units in several views, for a task that needs them."""
    timed: Timed | None = None
    """For a task that needs events: these units are frames of whole samples."""
    layers: tuple[Float[np.ndarray, "units layer_width"], ...] = ()
    """What each layer of the encoder makes of the frames, the last of them `x`; where a task asks and the encoder tells."""
    fold: bool = False
    """Whether it is one of several folds: what is reported may be of a single class (a patient), which has no AUC."""

    def __post_init__(self) -> None:
        sizes = {"x": len(self.x), "splits": len(self.splits)}
        if self.labels is not None:
            sizes["labels"] = len(self.labels.values)
        if self.groups is not None:
            sizes["groups"] = len(self.groups)
        if len(set(sizes.values())) > 1:
            raise DataError(f"embedded units disagree in number: {sizes}; expected one of each for every unit")

    def rows(self, split: Split) -> Int[np.ndarray, "rows"]:
        """The units of a split."""
        return np.flatnonzero(self.splits == split)


@dataclass(frozen=True)
class Scores:
    """The result of a task."""

    metrics: Mapping[str, float]
    std: Mapping[str, float] = field(default_factory=dict)
    """Standard deviation over repeated draws of labelled samples, where there were several."""
    notes: tuple[str, ...] = ()
    """What a reader must know to judge the numbers: a split that had to be cut, a fit that did not converge."""

    @classmethod
    def over(cls, runs: Sequence[Mapping[str, float]], notes: tuple[str, ...] = ()) -> Scores:
        """Mean and standard deviation over repeated runs, of those that have a metric; of a single run its numbers alone."""
        names = dict.fromkeys(name for run in runs for name in run)
        values = {name: np.array([run[name] for run in runs if name in run]) for name in names}
        mean = {name: float(each.mean()) for name, each in values.items()}
        if len(runs) == 1:
            return cls(mean, notes=notes)
        # Runs that agree differ from their mean by its rounding.
        return cls(
            mean,
            {name: float(each.std(ddof=1)) if len(each) > 1 and np.ptp(each) else 0.0 for name, each in values.items()},
            notes,
        )

    def flat(self) -> dict[str, float]:
        """`metrics`, and `std` as `<metric>_std`."""
        return {**self.metrics, **{f"{name}_std": value for name, value in self.std.items()}}


class Task(ABC):
    """Judges embeddings. The constructor's keyword-only parameters are the recipe's."""

    needs_labels: ClassVar[bool]
    needs_classes: ClassVar[bool] = False
    """Of its labels: numbers will not do."""
    needs_pairs: ClassVar[bool] = False
    """It judges pairs, and is given their units."""
    needs_events: ClassVar[bool] = False
    """It says what happens when, and is given the frames of whole samples, whatever the recipe's unit is."""
    wants_layers: bool = False
    """Of a task that needs events: it is given every layer's frames, of encoders that give them."""
    needs_views: int = 0
    """In how many of the recipe's views it is to see each unit."""
    every_unit: ClassVar[bool] = False
    """It judges labelled units of no split as well: clusterings and cross-validations, which go by no split."""
    better: Mapping[str, Better] = {}
    """Which way each metric is better. One that is not named has no better direction and is never marked best."""

    def check(self, data: Embedded) -> None:  # noqa: B027 (a task that can judge anything need not say so)
        """Refuse what could not be judged, before training: `data.x` has no columns yet, all else is as it will be."""

    @abstractmethod
    def __call__(self, data: Embedded) -> Scores:
        """Judge `data`. Errors of the data (too few rows, one class) are `DataError`s."""


def labelled(labels: Labels) -> Bool[np.ndarray, "units"]:
    """True where a unit has a label (not -1, not NaN)."""
    mask: np.ndarray = labels.values >= 0 if labels.kind == "classification" else ~np.isnan(labels.values)
    return mask


def take_labels(labels: Labels, rows: Int[np.ndarray, "rows"]) -> Labels:
    """The labels of some units."""
    return replace(labels, values=labels.values[rows], splits=None if labels.splits is None else labels.splits[rows])


def class_name(labels: Labels, number: int) -> str:
    """How a message names a class."""
    return repr(labels.classes[number]) if labels.classes else str(number)
