"""How well events were found: by segments and event by event (Mesaros, Heittola & Virtanen 2016, "Metrics for polyphonic
sound event detection").

Segments of a second are compared as sets of classes. Event by event, one is found where another of its class begins within
a collar of it, and ends within the collar or a fifth of its length; pairs are matched so that as many as possible are found.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching

from manyviews.evaluate.task import Better
from manyviews.events import Events, Stretches

BETTER: Mapping[str, Better] = {
    "segment_f1": "higher",
    "segment_f1_macro": "higher",
    "segment_error": "lower",
    "event_f1": "higher",
    "event_f1_macro": "higher",
}
ROUNDING = 1e-9
"""Seconds by which sums of frames may miss what was annotated."""


@dataclass(frozen=True)
class Matching:
    """What counts as found."""

    segment: float = 1.0
    """Seconds."""
    collar: float = 0.2
    """Seconds that a beginning or an end may be off."""
    share: float = 0.2
    """Of an event's length, by which its end may be off where that is more."""


def event_scores(truth: Events, said: Stretches, matching: Matching) -> dict[str, float]:
    """Micro and macro F1 by segment and by event, the error rate of segments, and each class's F1 by event.

    Classes that neither happen nor are said to have no F1; where that is all of them, it is 0. The error rate is the sum of
    what was exchanged, missed and made up, over what happens (1 where nothing does and something is made up).

    Args:
        truth: All of whose samples are known.
        said: Of the same samples.
        matching: What counts as found.
    """
    segments = _segments(truth, said, matching.segment)
    events = _events(truth, said, matching)
    both, there, claimed = segments.hits.sum(0), segments.there.sum(0), segments.said.sum(0)
    each = _f1(events.hits, events.there, events.said)
    return {
        "segment_f1": _mean(_f1(*(part.sum(keepdims=True) for part in (both, there, claimed)))),
        "segment_f1_macro": _mean(_f1(both, there, claimed)),
        "segment_error": _error(segments),
        "event_f1": _mean(_f1(*(part.sum(keepdims=True) for part in (events.hits, events.there, events.said)))),
        "event_f1_macro": _mean(each),
        **{f"event_f1/{truth.classes[c]}": float(value) for c, value in enumerate(each) if np.isfinite(value)},
    }


def class_scores(truth: Events, said: Stretches, matching: Matching) -> Float[np.ndarray, "classes"]:
    """How well each class is found: the mean of its F1 by segment and by event; 0 where it neither happens nor is said to."""
    segments, events = _segments(truth, said, matching.segment), _events(truth, said, matching)
    by_segment = _f1(segments.hits.sum(0), segments.there.sum(0), segments.said.sum(0))
    mean: Float[np.ndarray, "classes"] = np.nan_to_num(by_segment + _f1(events.hits, events.there, events.said)) / 2
    return mean


@dataclass(frozen=True)
class Counts:
    """How many of each class happen, are said to, and both; of each segment, or of all events."""

    there: Int[np.ndarray, "*segments classes"]
    said: Int[np.ndarray, "*segments classes"]
    hits: Int[np.ndarray, "*segments classes"]


def _segments(truth: Events, said: Stretches, length: float) -> Counts:
    number = np.ceil(truth.seconds / length - ROUNDING).astype(np.int64).clip(min=1)
    starts = np.cumsum(number) - number
    there, claimed = (_filled(found, starts, number, len(truth.classes), length) for found in (truth.found, said))
    return Counts(there.astype(np.int64), claimed.astype(np.int64), (there & claimed).astype(np.int64))


def _filled(
    found: Stretches, starts: Int[np.ndarray, "samples"], number: Int[np.ndarray, "samples"], classes: int, length: float
) -> Bool[np.ndarray, "segments classes"]:
    """True where a class happens in a segment, however little of it."""
    changes = np.zeros((int(number.sum()) + 1, classes), dtype=np.int64)
    own = number[found.samples]
    first = np.floor(found.onsets / length + ROUNDING).astype(np.int64).clip(0, own - 1)
    beyond = np.ceil(found.offsets / length - ROUNDING).astype(np.int64).clip(first + 1, own)
    np.add.at(changes, (starts[found.samples] + first, found.classes), 1)
    np.add.at(changes, (starts[found.samples] + beyond, found.classes), -1)
    filled: Bool[np.ndarray, "segments classes"] = changes.cumsum(0)[:-1] > 0
    return filled


def _events(truth: Events, said: Stretches, matching: Matching) -> Counts:
    classes = len(truth.classes)
    hits = np.zeros(classes, dtype=np.int64)
    for sample in np.intersect1d(truth.found.samples, said.samples):
        own, other = (found.of(np.array([sample])) for found in (truth.found, said))
        for number in np.intersect1d(own.classes, other.classes):
            hits[number] += _matched(own, other, int(number), matching)
    there, claimed = (np.bincount(found.classes, minlength=classes) for found in (truth.found, said))
    return Counts(there, claimed, hits)


def _matched(own: Stretches, other: Stretches, number: int, matching: Matching) -> int:
    """The most pairs of one class in one sample, each event in one of them at most."""
    rows, columns = own.classes == number, other.classes == number
    late = np.maximum(matching.collar, matching.share * (own.offsets - own.onsets)[rows])[:, None]
    near = np.abs(own.onsets[rows][:, None] - other.onsets[columns]) <= matching.collar + ROUNDING
    near &= np.abs(own.offsets[rows][:, None] - other.offsets[columns]) <= late + ROUNDING
    return int((maximum_bipartite_matching(csr_matrix(near)) >= 0).sum())


def _f1(
    hits: Int[np.ndarray, "classes"], there: Int[np.ndarray, "classes"], said: Int[np.ndarray, "classes"]
) -> Float[np.ndarray, "classes"]:
    with np.errstate(invalid="ignore"):
        f1: Float[np.ndarray, "classes"] = 2 * hits.astype(np.float64) / (there + said)
    return f1


def _mean(each: Float[np.ndarray, "classes"]) -> float:
    return float(np.nanmean(each)) if np.isfinite(each).any() else 0.0


def _error(counts: Counts) -> float:
    missed, made_up = ((part - counts.hits).sum(1) for part in (counts.there, counts.said))
    wrong = int(np.maximum(missed, made_up).sum())  # exchanged ones count once
    return wrong / int(counts.there.sum()) if counts.there.any() else float(wrong > 0)
