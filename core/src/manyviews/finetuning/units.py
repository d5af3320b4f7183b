"""Classification and regression of units: clips, graphs and rows by their pooled vector, nodes and frames by their token."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews import distributed
from manyviews.batch import Batch, Labelled
from manyviews.downstream import Answers, Downstream, LabelledUnits, Net
from manyviews.encoder import Encoder
from manyviews.encoding import Encoding
from manyviews.errors import DataError
from manyviews.evaluate import metrics
from manyviews.evaluate.cut import check_varied
from manyviews.evaluate.embed import device_of, encodings, token_counts
from manyviews.evaluate.task import labelled
from manyviews.evaluate.units import Units
from manyviews.moving import constant
from manyviews.objective import Loss, Unit
from manyviews.objectives.shared import full
from manyviews.source import Labels, Source
from manyviews.view import View

BATCH = 256
"""Samples answered at a time."""
BelowOne = Annotated[float, Field(ge=0, lt=1)]


@dataclass
class UnitReader:
    """Batches with the labels of chosen units; the others have none (-1, NaN).

    A source that is a single sample gives one batch for ever; so does this, and it goes to the device once.
    """

    source: Source
    truth: Shaped[np.ndarray, "units"]
    starts: Int[np.ndarray, "samples_and_end"]
    _before: Labelled | None = field(default=None, repr=False)

    def __call__(self, index: Int[np.ndarray, "samples"], generator: np.random.Generator) -> Batch:
        batch = self.source.batch(index)
        if self._before is None or self._before.batch is not batch:
            truth = np.concatenate([self.truth[self.starts[i] : self.starts[i + 1]] for i in index])
            self._before = Labelled(batch, torch.from_numpy(truth))
        return self._before


class UnitTask(Downstream):
    """What classification and regression share: `Source.labels`, a head on each unit's vector."""

    kind: ClassVar[Literal["classification", "regression"]]
    layers: ClassVar[bool] = False
    """Whether the head reads what each of the encoder's layers makes of the tokens."""

    def __init__(self, *, hidden: PositiveInt | None, dropout: BelowOne) -> None:
        self.hidden, self.dropout, self.frozen_rate = hidden, dropout, rate_of(hidden)

    def units(self, source: Source, encoder: Encoder, unit: Unit) -> LabelledUnits:
        labels = self.labels(source)
        counts = token_counts(encoder, source) if unit == "token" else None
        every = Units.of(source, counts)
        assert every.labels is not None
        splits = np.where(labelled(every.labels), every.probe_splits, "")
        strata = every.labels.values if labels.kind == "classification" else None
        return LabelledUnits(np.repeat(np.arange(len(source)), every.counts), splits, strata, every.groups)

    def labels(self, source: Source) -> Labels:
        """The labels, of the right kind."""
        labels = source.labels()
        if labels is None:
            raise DataError(f"{type(source).__name__} has no labels to finetune on: name them in `data` (data.target=…)")
        if labels.kind != self.kind:
            other = "regression" if self.kind == "classification" else "classification"
            raise DataError(f"labels {labels.name!r} are for {labels.kind}, not for {self.kind}: set task.name={other}")
        return labels

    def values(self, source: Source, units: LabelledUnits) -> Labels:
        """The labels of all units, tokens of a labelled sample having its label."""
        labels = self.labels(source)
        whole = len(labels.values) == len(source) != len(units.owners)
        return Labels(labels.name, labels.kind, labels.values[units.owners] if whole else labels.values, labels.classes)

    def reader(self, source: Source, units: LabelledUnits, chosen: Int[np.ndarray, "chosen"]) -> UnitReader:
        values = self.values(source, units).values
        truth = np.full_like(values, -1 if self.kind == "classification" else np.nan)
        truth[chosen] = values[chosen]
        truth = truth if self.kind == "classification" else truth.astype(np.float32)
        return UnitReader(source, truth, np.searchsorted(units.owners, np.arange(len(source) + 1)))

    def mlp(self, encoder: Encoder, unit: Unit, out: int) -> nn.Module:
        """Linear, or with one hidden layer."""
        width = encoder.pooled_width if unit == "sample" else encoder.width
        return mlp(width, out, hidden=self.hidden, dropout=self.dropout)

    def outputs(self, net: Net, batch: Labelled) -> Float[Tensor, "units out"]:
        """The head's, for each unit of a batch."""
        view = View(batch.batch, net.encoder.layout(batch.batch), layers=self.layers)
        return self.said(net, net.encoder(view))

    def said(self, net: Net, encoding: Encoding) -> Float[Tensor, "units out"]:
        """What the head makes of an encoding: of each unit's vector, unless the task has a head that reads more."""
        made: Tensor = net.head(encoding.pooled if net.unit == "sample" else encoding.tokens)
        return made

    def predict(
        self, net: Net, answers: Any, source: Source, samples: Int[np.ndarray, "samples"]
    ) -> Iterator[tuple[Int[np.ndarray, "samples"], Float[np.ndarray, "units out"]]]:
        for some, _, encoding in encodings(net.encoder, source, samples, BATCH, device_of(net), layers=self.layers):
            with torch.no_grad():
                said = self.said(net, encoding)
            yield some, self.finished(said.float(), answers).cpu().numpy()

    @abstractmethod
    def finished(self, outputs: Float[Tensor, "units out"], answers: Any) -> Float[Tensor, "units out"]:
        """The head's outputs as probabilities, or as numbers in the target's unit."""

    def evaluate(
        self, net: Net, answers: Any, source: Source, units: LabelledUnits, rows: Int[np.ndarray, "rows"]
    ) -> Mapping[str, float]:
        samples = units.samples(rows)
        given = np.flatnonzero(np.isin(units.owners, samples))
        said = np.concatenate([part for _, part in self.predict(net, answers, source, samples)])
        return self.scores(self.values(source, units), rows, said[np.searchsorted(given, rows)])

    @abstractmethod
    def scores(self, labels: Labels, rows: Int[np.ndarray, "rows"], said: Float[np.ndarray, "rows out"]) -> Mapping[str, float]:
        """The metrics of what was said of the units `rows`."""


def rate_of(hidden: int | None) -> float:
    """Usual rate of such a head alone: at that of whole nets a linear one is far from its end after hundreds of steps."""
    return 1e-2 if hidden is None else 1e-3


def mlp(width: int, out: int, *, hidden: int | None, dropout: float) -> nn.Module:
    """A linear head, or one with a hidden layer."""
    if hidden is None:
        return nn.Sequential(nn.Dropout(dropout), nn.Linear(width, out))
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, out))


class ClassAnswers(Answers):
    """The classes, and how often each was among the labels that were given."""

    name: str
    classes: tuple[str, ...]
    counts: tuple[int, ...]


class Classification(UnitTask):
    """Cross-entropy on the class of each unit. Reports accuracy, balanced accuracy, macro F1 and AUC.

    Args:
        hidden: Width of a hidden layer of the head; null: a linear head.
        dropout: Before the head's last layer.
        balanced: Weigh each class by the inverse of its frequency among the labels given.
        smoothing: Label smoothing.
    """

    kind = "classification"
    answers = ClassAnswers
    better = metrics.BETTER
    chosen_by = "accuracy"

    def __init__(
        self, *, hidden: PositiveInt | None = None, dropout: BelowOne = 0.0, balanced: bool = False, smoothing: BelowOne = 0.0
    ) -> None:
        super().__init__(hidden=hidden, dropout=dropout)
        self.balanced, self.smoothing = balanced, smoothing

    def learn(self, source: Source, units: LabelledUnits, chosen: Int[np.ndarray, "chosen"]) -> ClassAnswers:
        labels = self.values(source, units)
        check_varied(labels, chosen, "labelled training")
        count = metrics.class_count(labels)
        classes = labels.classes or tuple(map(str, range(count)))
        return ClassAnswers(
            name=labels.name, classes=classes, counts=tuple(np.bincount(labels.values[chosen], minlength=count).tolist())
        )

    def head(self, encoder: Encoder, answers: ClassAnswers, unit: Unit) -> nn.Module:
        return self.mlp(encoder, unit, len(answers.classes))

    def loss(self, net: Net, answers: ClassAnswers, batch: Labelled, generator: torch.Generator) -> Loss:
        outputs, truth = full(self.outputs(net, batch)), batch.truth
        known, weights = truth >= 0, None
        if self.balanced:
            counts = constant(answers.counts, outputs.device, outputs.dtype).clamp(min=1)
            weights = counts.sum() / (len(counts) * counts)
        values = F.cross_entropy(outputs, truth, weights, ignore_index=-1, label_smoothing=self.smoothing, reduction="none")
        own = known.to(values.dtype) if weights is None else weights[truth.clamp(min=0)] * known
        value = distributed.mean(values / torch.where(known, own, 1.0), own)
        return Loss(value, {"accuracy": share_right(outputs, truth)})

    def finished(self, outputs: Float[Tensor, "units classes"], answers: ClassAnswers) -> Float[Tensor, "units classes"]:
        return outputs.softmax(1)

    def scores(
        self, labels: Labels, rows: Int[np.ndarray, "rows"], said: Float[np.ndarray, "rows classes"]
    ) -> Mapping[str, float]:
        return metrics.classification(labels, rows, said)


def share_right(outputs: Float[Tensor, "units classes"], truth: Int[Tensor, "units"]) -> Float[Tensor, ""]:
    """Of the labelled units of all processes, how many are classified right."""
    right = (outputs.detach().argmax(1) == truth).to(outputs.dtype)
    return distributed.mean(right, truth >= 0)


class NumberAnswers(Answers):
    """Mean and standard deviation of the numbers that were given."""

    name: str
    mean: float
    scale: float


class Regression(UnitTask):
    """Squared error of the standardised number of each unit. Reports R², RMSE and MAE in the target's unit.

    Args:
        hidden: Width of a hidden layer of the head; null: a linear head.
        dropout: Before the head's last layer.
        huber: Size of an error, in standard deviations, beyond which it counts linearly; null: squared throughout.
    """

    kind = "regression"
    answers = NumberAnswers
    better = metrics.BETTER
    chosen_by = "r2"

    def __init__(
        self,
        *,
        hidden: PositiveInt | None = None,
        dropout: BelowOne = 0.0,
        huber: Annotated[float, Field(gt=0)] | None = None,
    ) -> None:
        super().__init__(hidden=hidden, dropout=dropout)
        self.huber = huber

    def learn(self, source: Source, units: LabelledUnits, chosen: Int[np.ndarray, "chosen"]) -> NumberAnswers:
        labels = self.values(source, units)
        check_varied(labels, chosen, "labelled training")
        values = labels.values[chosen]
        return NumberAnswers(name=labels.name, mean=float(values.mean()), scale=float(values.std()))

    def head(self, encoder: Encoder, answers: NumberAnswers, unit: Unit) -> nn.Module:
        return self.mlp(encoder, unit, 1)

    def loss(self, net: Net, answers: NumberAnswers, batch: Labelled, generator: torch.Generator) -> Loss:
        outputs = full(self.outputs(net, batch))[:, 0]
        known = ~batch.truth.isnan()
        truth = torch.where(known, (batch.truth - answers.mean) / answers.scale, 0.0).to(outputs.dtype)
        error = (
            (outputs - truth).square() / 2
            if self.huber is None
            else F.huber_loss(outputs, truth, reduction="none", delta=self.huber)
        )
        return Loss(distributed.mean(error, known))

    def finished(self, outputs: Float[Tensor, "units one"], answers: NumberAnswers) -> Float[Tensor, "units one"]:
        return outputs * answers.scale + answers.mean

    def scores(self, labels: Labels, rows: Int[np.ndarray, "rows"], said: Float[np.ndarray, "rows one"]) -> Mapping[str, float]:
        return metrics.regression(labels, rows, said[:, 0].astype(np.float64))
