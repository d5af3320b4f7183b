"""Which events happen when, read off frames linearly: sound event detection on a frozen encoder.

For each class a logistic regression on single frames, as `linear_probe` fits one on samples: standardised on training
frames, the penalty chosen on validation samples, and reported on test samples. Thresholds and the layer that is read are
chosen on validation samples too, by what is reported, the F1 of segments and of events: frames' own F1 asks for low
thresholds, at which a few frames said wrongly make many events of none; and the last layer of an encoder that predicts what
is masked serves that prediction (Pasad, Chou & Livescu 2021).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from manyviews.errors import DataError
from manyviews.evaluate.event_scores import BETTER, Matching, class_scores, event_scores
from manyviews.evaluate.linear import Linear, log_probabilities, logistic_path
from manyviews.evaluate.linear_probe import best
from manyviews.evaluate.standardize import Standardizer
from manyviews.evaluate.task import Embedded, Scores, Task, Timed
from manyviews.evaluate.threads import torch_threads
from manyviews.events import Decoding, Events, EventTruth, Stretches
from manyviews.lengths import Lengths

THRESHOLDS = tuple(np.linspace(0.05, 0.95, 19).round(2).tolist())
SHARE = 0.2
"""Of the training samples, cut off where a split is missing."""


class EventDetection(Task):
    """Events by logistic regression on frames, each class by itself.

    Reports F1 by segment and by event, micro and macro, and the error rate of segments (`manyviews.evaluate.event_scores`):
    on test samples, or on validation samples where none test.

    Args:
        layer: Read the layer of the encoder whose events are best on validation samples, or the last one.
        l2: Penalties to choose from, as in `linear_probe`.
        iterations: L-BFGS iterations at most for one penalty.
        frames: Training frames that are fitted on at most, drawn alike for every encoder; an hour of sound has 90,000 of 40 ms.
        smooth: Seconds of a median filter on the scores; of several what is best on validation samples.
        gap: Seconds of silence between two events of a class that are taken for one.
        shortest: Seconds below which an event is dropped.
        segment: Seconds of a segment.
        collar: Seconds that the beginning or end of a found event may be off; an end also a fifth of the event.
    """

    needs_labels = False
    needs_events = True
    better = BETTER

    def __init__(
        self,
        *,
        layer: Literal["best", "last"] = "best",
        l2: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (1e3, 1e2, 10.0, 1.0),
        iterations: PositiveInt = 200,
        frames: PositiveInt = 100_000,
        smooth: NonNegativeFloat | Annotated[tuple[NonNegativeFloat, ...], Field(min_length=1)] = (0.1, 0.3, 0.5),
        gap: NonNegativeFloat = 0.1,
        shortest: NonNegativeFloat = 0.05,
        segment: PositiveFloat = 1.0,
        collar: PositiveFloat = 0.2,
    ) -> None:
        self.wants_layers = layer == "best"
        self.l2, self.iterations, self.frames = tuple(sorted(l2, reverse=True)), iterations, frames
        self.smooth = smooth if isinstance(smooth, tuple) else (smooth,)
        self.gap, self.shortest = gap, shortest
        self.matching = Matching(segment, collar)

    def check(self, data: Embedded) -> None:
        parts(data)

    def __call__(self, data: Embedded) -> Scores:
        timed, cut = timed_of(data), parts(data)
        frames = Lengths.of(timed.counts.tolist())
        truth = EventTruth.of(timed.events).activity(frames, len(timed.events.classes)).numpy()
        owners = frames.owners().numpy()
        rows = {role: np.flatnonzero(np.isin(owners, samples)) for role, samples in cut.samples.items()}
        rows["fit"] = np.sort(np.random.default_rng(0).permutation(rows["fit"])[: self.frames])
        chosen, report = (timed.events.of(cut.samples[role]) for role in ("choose", "report"))
        layers = data.layers if self.wants_layers and data.layers else (data.x,)
        with torch_threads():
            read = [self._read(x, truth, rows, timed.counts[cut.samples["choose"]], chosen) for x in layers]
            number = max(range(len(read)), key=lambda layer: read[layer].f1)
            said = read[number].said(layers[number][rows["report"]])
        found = decoded(read[number].decoding, said, timed.counts[cut.samples["report"]], report)
        notes = (*cut.notes, f"layer {number + 1} of {len(layers)} is read") if len(layers) > 1 else cut.notes
        return Scores(event_scores(report, found, self.matching), notes=notes)

    def _read(
        self,
        x: Float[np.ndarray, "frames width"],
        truth: Bool[np.ndarray, "frames classes"],
        rows: Mapping[str, Int[np.ndarray, "rows"]],
        counts: Int[np.ndarray, "samples"],
        events: Events,
    ) -> Reader:
        """Fitted and chosen on one layer; `counts` and `events` are of the samples that are chosen on."""
        standardizer = Standardizer.fit(as_tensor(x[rows["fit"]]), True)
        fitted, choosing = (standardizer(as_tensor(x[rows[role]])) for role in ("fit", "choose"))
        models = [
            self.fit(fitted, truth[rows["fit"], number], choosing, truth[rows["choose"], number])
            for number in range(truth.shape[1])
        ]
        reader = Reader(standardizer, tuple(models), Decoding(0.5, self.smooth[0], self.gap, self.shortest), 0.0)
        said = reader.said(x[rows["choose"]])
        chosen = [self._chosen(said, truth[rows["choose"]], counts, events, smooth) for smooth in self.smooth]
        decoding, f1 = max(chosen, key=lambda each: each[1])
        return replace(reader, decoding=decoding, f1=f1)

    def _chosen(
        self,
        said: Float[np.ndarray, "frames classes"],
        truth: Bool[np.ndarray, "frames classes"],
        counts: Int[np.ndarray, "samples"],
        events: Events,
        smooth: float,
    ) -> tuple[Decoding, float]:
        """With each class's threshold of the highest F1, and the mean of that F1 over the classes that happen."""
        decoding = Decoding(0.5, smooth, self.gap, self.shortest)
        parts = zip(np.split(said, counts.cumsum()[:-1]), events.seconds, strict=True)
        scores = np.concatenate([decoding.smoothed(part, seconds) for part, seconds in parts])
        tried = (replace(decoding, threshold=threshold, smooth=0.0) for threshold in THRESHOLDS)
        f1 = np.stack([class_scores(events, decoded(each, scores, counts, events), self.matching) for each in tried])
        # Of thresholds that are equally good in that, as they are where little happens, the one that is best for frames.
        right = np.stack([frame_f1(scores >= threshold, truth) for threshold in THRESHOLDS])
        places = (f1 + 1e-6 * right).argmax(0)
        happening: Bool[np.ndarray, "classes"] = np.any(truth, axis=0)
        thresholds = tuple(THRESHOLDS[place] if happens else 0.5 for place, happens in zip(places, happening, strict=True))
        return replace(decoding, threshold=thresholds), float(f1.max(0)[happening].mean()) if happening.any() else 0.0

    def fit(
        self,
        x: Float[Tensor, "fit width"],
        y: Bool[np.ndarray, "fit"],
        x_valid: Float[Tensor, "valid width"],
        y_valid: Bool[np.ndarray, "valid"],
    ) -> Linear:
        """The penalty of the lowest log loss on validation frames."""
        truth = torch.from_numpy(y_valid.astype(np.int64))[:, None]

        def loss(model: Linear) -> float:
            return -log_probabilities(model(x_valid)).gather(1, truth).double().mean().item()

        return best(logistic_path(x, torch.from_numpy(y.astype(np.int64)), 2, self.l2, self.iterations), loss)


@dataclass(frozen=True)
class Reader:
    """A class's model each, of one layer."""

    standardizer: Standardizer
    models: tuple[Linear, ...]
    decoding: Decoding
    """With the thresholds of the highest F1, of segments and of events, on the samples that are chosen on."""
    f1: float
    """That F1, the mean over classes."""

    def said(self, x: Float[np.ndarray, "frames width"]) -> Float[np.ndarray, "frames classes"]:
        """How likely each class is to happen in each frame."""
        features = self.standardizer(as_tensor(x))
        return np.stack([probabilities(model, features) for model in self.models], axis=1)


def as_tensor(x: Float[np.ndarray, "frames width"]) -> Float[Tensor, "frames width"]:
    """float32, in one piece."""
    return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))


class Parts:
    """Samples by role."""

    def __init__(self, samples: dict[str, Int[np.ndarray, "samples"]], notes: tuple[str, ...]) -> None:
        self.samples, self.notes = samples, notes


def timed_of(data: Embedded) -> Timed:
    """The frames and events, or the error that there are none."""
    if data.timed is None:
        raise DataError("this task needs events, and the source has none: name them in `data`, or leave the task out")
    return data.timed


def parts(data: Embedded) -> Parts:
    """Fit on train, choose on valid, report on test (on valid where there is no test split). Cut from train what is missing.

    Raises:
        DataError: Too few samples, or no event in those that are fitted on or reported.
    """
    timed = timed_of(data)
    train, valid, test = (np.flatnonzero(timed.splits == split) for split in ("train", "valid", "test"))
    report, choose = (test, valid) if len(test) else (valid, test)
    notes: tuple[str, ...] = ()
    for role, missing in (("reported on", not len(report)), ("chosen on", not len(choose))):
        if missing:
            train, off = _cut_off(timed, train)
            notes = (*notes, f"{role} {len(off):,} samples cut from the training samples: no split is left for it")
            report, choose = (off, choose) if role == "reported on" else (report, off)
    for role, samples in (("training", train), ("reported", report)):
        happening = timed.events.of(samples).found.classes
        if not len(happening):
            raise DataError(f"events {timed.events.name!r}: nothing happens in the {len(samples)} {role} samples")
    return Parts({"fit": train, "choose": choose, "report": report}, notes)


def _cut_off(timed: Timed, rows: Int[np.ndarray, "rows"]) -> tuple[Int[np.ndarray, "rest"], Int[np.ndarray, "cut"]]:
    """Whole groups where there are any."""
    own = rows if timed.groups is None else timed.groups[rows]
    names = np.unique(own)
    if len(names) < 2:
        what = "samples" if timed.groups is None else "groups"
        raise DataError(
            f"events {timed.events.name!r}: {len(names)} training {what} are too few to cut a split from; "
            "name train, valid and test samples"
        )
    off = np.isin(own, np.random.default_rng(0).permutation(names)[: int(np.ceil(SHARE * len(names)))])
    return rows[~off], rows[off]


def probabilities(model: Linear, x: Float[Tensor, "frames width"]) -> Float[np.ndarray, "frames"]:
    """That a class happens."""
    return log_probabilities(model(x))[:, 1].exp().double().numpy()


def frame_f1(
    said: Bool[np.ndarray, "frames classes"], truth: Bool[np.ndarray, "frames classes"]
) -> Float[np.ndarray, "classes"]:
    """Of each class; 0 where it neither happens nor is said to."""
    both, either = (said & truth).sum(0), said.sum(0) + truth.sum(0)
    f1: Float[np.ndarray, "classes"] = 2 * both / np.maximum(either, 1)
    return f1


def decoded(
    decoding: Decoding, scores: Float[np.ndarray, "frames classes"], counts: Int[np.ndarray, "samples"], events: Events
) -> Stretches:
    """What the scores of several samples say."""
    each = [
        decoding(part, seconds) for part, seconds in zip(np.split(scores, counts.cumsum()[:-1]), events.seconds, strict=True)
    ]
    return stretches_of(np.concatenate(each), np.array([len(part) for part in each], dtype=np.int64))


def stretches_of(rows: Float[np.ndarray, "found 4"], counts: Int[np.ndarray, "samples"]) -> Stretches:
    """What was found in each of several samples, so many events in each."""
    owners = np.repeat(np.arange(len(counts)), counts)
    return Stretches(owners, rows[:, 0], rows[:, 1], rows[:, 2].astype(np.int64))
