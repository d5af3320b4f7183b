"""Sound event detection and its like: which classes happen when, any number at a time, said frame by frame.

Cross-entropy of each class in each frame; whole samples are answered, and their scores become events by a threshold, a
median filter and least lengths. Reported as `manyviews evaluate` reports the task of this name on a frozen encoder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Int
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import nn
from torch.nn import functional as F

from manyviews import distributed
from manyviews.batch import Batch, Labelled
from manyviews.downstream import Answers, Counted, Downstream, LabelledUnits, Net
from manyviews.encoder import Encoder
from manyviews.errors import DataError
from manyviews.evaluate.embed import device_of, encodings
from manyviews.evaluate.event_detection import stretches_of
from manyviews.evaluate.event_scores import BETTER, Matching, event_scores
from manyviews.evaluate.timed import events_of
from manyviews.events import Decoding, Events, EventTruth
from manyviews.finetuning.units import BATCH, BelowOne, mlp, rate_of
from manyviews.objective import Loss, Unit
from manyviews.objectives.shared import full
from manyviews.source import Source
from manyviews.traits import Trait
from manyviews.view import View


class EventAnswers(Answers):
    """The classes of events."""

    name: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class EventReader:
    """Batches with the events of chosen samples; of the others nothing is known."""

    source: Source
    events: Events
    """Known of the chosen samples alone."""

    def __call__(self, index: Int[np.ndarray, "samples"], generator: np.random.Generator) -> Batch:
        return Labelled(self.source.batch(index), EventTruth.of(self.events.of(index)))


class EventDetection(Downstream):
    """Events on frames. Reports F1 by segment and by event, micro and macro, and the error rate of segments.

    Args:
        hidden: Width of a hidden layer of the head; null: a linear head.
        dropout: Before the head's last layer.
        rare: Weight of frames in which a class happens, beside those in which it does not.
        threshold: Probability from which a class is taken to happen.
        smooth: Seconds of a median filter on the probabilities.
        gap: Seconds of silence between two events of a class that are taken for one.
        shortest: Seconds below which an event is dropped.
        segment: Seconds of a segment.
        collar: Seconds that the beginning or end of a found event may be off; an end also a fifth of the event.
    """

    needs = frozenset({Trait.MOMENTS})
    answers = EventAnswers
    better = BETTER
    chosen_by = "segment_f1"
    gives = "events"

    def __init__(
        self,
        *,
        hidden: PositiveInt | None = None,
        dropout: BelowOne = 0.0,
        rare: PositiveFloat = 1.0,
        threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5,
        smooth: NonNegativeFloat = 0.1,
        gap: NonNegativeFloat = 0.1,
        shortest: NonNegativeFloat = 0.05,
        segment: PositiveFloat = 1.0,
        collar: PositiveFloat = 0.2,
    ) -> None:
        self.hidden, self.dropout, self.rare, self.frozen_rate = hidden, dropout, rare, rate_of(hidden)
        self.decoding, self.matching = Decoding(threshold, smooth, gap, shortest), Matching(segment, collar)

    def units(self, source: Source, encoder: Encoder, unit: Unit) -> LabelledUnits:
        events = events_of(source)
        return LabelledUnits(np.arange(len(source)), np.where(events.known, source.splits(), ""), groups=source.groups())

    def learn(self, source: Source, units: LabelledUnits, chosen: Int[np.ndarray, "chosen"]) -> EventAnswers:
        events = events_of(source)
        if not len(events.found.of(chosen)):
            raise DataError(f"events {events.name!r}: nothing happens in the {len(chosen)} labelled training samples")
        return EventAnswers(name=events.name, classes=events.classes)

    def head(self, encoder: Encoder, answers: EventAnswers, unit: Unit) -> nn.Module:
        return mlp(encoder.width, len(answers.classes), hidden=self.hidden, dropout=self.dropout)

    def reader(self, source: Source, units: LabelledUnits, chosen: Int[np.ndarray, "chosen"]) -> EventReader:
        known = np.zeros(len(source), dtype=bool)
        known[chosen] = True
        return EventReader(source, replace(events_of(source), known=known))

    def loss(self, net: Net, answers: EventAnswers, batch: Labelled, generator: torch.Generator) -> Loss:
        layout = net.encoder.layout(batch.batch)
        frames, lengths = net.encoder.moments(net.encoder(View(batch.batch, layout)), layout)
        outputs, truth = full(net.head(frames)), batch.truth
        active = truth.activity(lengths, len(answers.classes)).to(outputs.dtype)
        losses = F.binary_cross_entropy_with_logits(outputs, active, reduction="none")
        weighted = (losses * (1 + (self.rare - 1) * active)).mean(1)
        return Loss(distributed.mean(weighted, truth.known[lengths.owners()]))

    def evaluate(
        self, net: Net, answers: EventAnswers, source: Source, units: LabelledUnits, rows: Int[np.ndarray, "rows"]
    ) -> Mapping[str, float]:
        samples = units.samples(rows)
        said = [some for _, some in self.predict(net, answers, source, samples)]
        values, counts = np.concatenate([some.values for some in said]), np.concatenate([some.counts for some in said])
        return event_scores(events_of(source).of(samples), stretches_of(values, counts), self.matching)

    def predict(
        self, net: Net, answers: EventAnswers, source: Source, samples: Int[np.ndarray, "samples"]
    ) -> Iterator[tuple[Int[np.ndarray, "samples"], Counted]]:
        seconds = source.seconds()
        for some, layout, encoding in encodings(net.encoder, source, samples, BATCH, device_of(net)):
            frames, lengths = net.encoder.moments(encoding, layout)
            with torch.no_grad():
                scores = net.head(frames).float().sigmoid().cpu().double().numpy()
            each = np.split(scores, np.cumsum(lengths.on_host())[:-1])
            found = [self.decoding(part, float(seconds[sample])) for part, sample in zip(each, some, strict=True)]
            yield some, Counted(np.array([len(part) for part in found], dtype=np.int64), np.concatenate(found))
