"""A supervised task that an encoder is finetuned on: what is labelled, what the head is, what is minimised and reported.

One contract for clips, nodes of one graph, rows of tables, voxels and pixels. Labels hang on *units*: samples, tokens of
samples, or whole samples whose parts are labelled (volumes, tiles). The core draws the units whose labels may be used
(a budget, whole groups), trains, chooses and repeats; how samples are read with their labels, what the head looks like and
how whole samples are answered (sliding windows) is the task's own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from manyviews.batch import Batch
from manyviews.encoder import Encoder
from manyviews.objective import Loss, Unit
from manyviews.source import Source
from manyviews.traits import Trait
from manyviews.view import View

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class LabelledUnits:
    """All units of a source, and which of them are labelled."""

    owners: Int[np.ndarray, "units"]
    """The sample of each unit, ascending."""
    splits: Shaped[np.ndarray, "units"]
    """`train`, `valid` or `test`; "" for units without a label, or of no split."""
    strata: Int[np.ndarray, "units"] | None = None
    """Class of each unit, for budgets drawn evenly from the classes; None: drawn at random."""
    groups: Shaped[np.ndarray, "units"] | None = None
    """Patient, scene, speaker: budgets count these where there are any, and a draw never parts them."""

    def rows(self, split: str) -> Int[np.ndarray, "rows"]:
        """The labelled units of a split."""
        return np.flatnonzero(self.splits == split)

    def samples(self, rows: Int[np.ndarray, "rows"]) -> Int[np.ndarray, "samples"]:
        """The samples of these units, each once."""
        return np.unique(self.owners[rows])


class Answers(BaseModel):
    """What of the labels a head must know: class names, mean and scale of numbers. Stored as JSON with the checkpoint."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Counted:
    """Answers of which a sample has any number: events."""

    counts: Int[np.ndarray, "samples"]
    values: Float[np.ndarray, "answers width"]
    """One sample's after another's."""


class Net(nn.Module):
    """An encoder with the head of a task."""

    def __init__(self, encoder: Encoder, head: nn.Module, unit: Unit) -> None:
        super().__init__()
        self.encoder, self.head, self.unit = encoder, head, unit

    def forward(self, view: View) -> Tensor:
        """What the head says of the view's units (samples, or tokens): one row each."""
        encoding = self.encoder(view)
        answer: Tensor = self.head(encoding.pooled if self.unit == "sample" else encoding.tokens)
        return answer


class Downstream(ABC):
    """A supervised task. The constructor's keyword-only parameters are the recipe's; a component of kind `downstream`.

    Not a module: what learns belongs to the head.
    """

    needs: frozenset[Trait] = frozenset()
    """What it asks of the encoder (`Trait.FEATURE_MAPS`, for dense heads)."""
    answers: ClassVar[type[Answers]]
    """Class of what `learn` gives."""
    better: Mapping[str, Better] = {}
    """Which way each metric is better."""
    chosen_by: ClassVar[str]
    """The metric of the validation units that the best step is chosen by; one of `better`."""

    frozen_rate: float = 1e-3
    """Usual learning rate of the head where it alone learns (`method: frozen`)."""

    gives: ClassVar[Literal["answer", "events"]] = "answer"
    """What `predict` says: one answer for each unit, or events (`Counted`: onset, offset, class and score)."""

    @abstractmethod
    def units(self, source: Source, encoder: Encoder, unit: Unit) -> LabelledUnits:
        """The units of `source`.

        Raises:
            DataError: Nothing is labelled; says what to name in `data`.
        """

    @abstractmethod
    def learn(self, source: Source, units: LabelledUnits, chosen: Int[np.ndarray, "chosen"]) -> Answers:
        """What the head must know, from the names of the labels and from the values of the `chosen` training units alone."""

    @abstractmethod
    def head(self, encoder: Encoder, answers: Any, unit: Unit) -> nn.Module:
        """The head, untrained. Its weights are drawn from torch's global generator, which the core seeds."""

    @abstractmethod
    def reader(
        self, source: Source, units: LabelledUnits, chosen: Int[np.ndarray, "chosen"]
    ) -> Callable[[Int[np.ndarray, "samples"], np.random.Generator], Batch]:
        """Who reads a training batch (`Labelled`) of samples, with the labels of `chosen` units and of no others.

        What it draws (crops) comes from the generator, a function of (seed, batch). It may be called in a worker process,
        so it must be picklable: a dataclass or a class with `__call__`.
        """

    @abstractmethod
    def loss(self, net: Net, answers: Any, batch: Any, generator: torch.Generator) -> Loss:
        """The loss of a `Labelled` batch on its device. Augmentations are drawn from `generator`, on that device."""

    @abstractmethod
    def evaluate(
        self, net: Net, answers: Any, source: Source, units: LabelledUnits, rows: Int[np.ndarray, "rows"]
    ) -> Mapping[str, float]:
        """The metrics of labelled units, by the task's own way to answer whole samples. Called in eval mode, without
        gradients, on the device that the net is on."""

    @abstractmethod
    def predict(
        self, net: Net, answers: Any, source: Source, samples: Int[np.ndarray, "samples"]
    ) -> Iterator[tuple[Int[np.ndarray, "samples"], Any]]:
        """Answers of samples, as many at a time as suit: (their numbers, the answers). Arrays whose first axis is the unit
        (class probabilities, numbers), one label map for each sample, or `Counted`."""
