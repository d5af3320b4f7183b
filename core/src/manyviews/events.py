"""What happens when in a sample: sounds in a recording, arrhythmias in an ECG. Any number of classes at a time.

Annotations are stretches of seconds; encoders answer in frames. A frame is the n-th part of its sample that its place
says, whatever an encoder makes frames of; an event fills the frames whose middle it covers, and at least one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.ndimage import median_filter
from torch import Tensor

from manyviews.lengths import Lengths
from manyviews.moving import moved


@dataclass(frozen=True)
class Stretches:
    """Events of several samples, in no order."""

    samples: Int[np.ndarray, "events"]
    onsets: Float[np.ndarray, "events"]
    """Seconds from the sample's beginning."""
    offsets: Float[np.ndarray, "events"]
    classes: Int[np.ndarray, "events"]

    def __len__(self) -> int:
        return len(self.samples)

    def of(self, samples: Int[np.ndarray, "chosen"]) -> Stretches:
        """Those of some samples, each once, which are numbered by their place among `samples`."""
        order, owners = self._by_sample
        first, beyond = (np.searchsorted(owners, samples, side) for side in ("left", "right"))
        counts = beyond - first
        kept = order[np.repeat(first - (counts.cumsum() - counts), counts) + np.arange(counts.sum())]
        places = np.repeat(np.arange(len(samples)), counts)
        return Stretches(places, self.onsets[kept], self.offsets[kept], self.classes[kept])

    @cached_property
    def _by_sample(self) -> tuple[Int[np.ndarray, "events"], Int[np.ndarray, "events"]]:
        """Events by their sample, and those samples: sorted once, since every batch asks for some."""
        order = np.argsort(self.samples, kind="stable")
        return order, self.samples[order]


@dataclass(frozen=True)
class Events:
    """What is known to happen in the samples of a source."""

    name: str
    classes: tuple[str, ...]
    found: Stretches
    seconds: Float[np.ndarray, "samples"]
    """How long each sample is."""
    known: Bool[np.ndarray, "samples"]
    """Samples that were listened to: where nothing is found in one of them, nothing happens."""

    def of(self, samples: Int[np.ndarray, "chosen"]) -> Events:
        """Of some samples, each once, numbered by their place."""
        return replace(self, found=self.found.of(samples), seconds=self.seconds[samples], known=self.known[samples])


@dataclass(frozen=True)
class EventTruth:
    """Events of a batch, on its device: what frames are taught."""

    owners: Int[Tensor, "events"]
    onsets: Float[Tensor, "events"]
    """As a share of the sample."""
    offsets: Float[Tensor, "events"]
    classes: Int[Tensor, "events"]
    known: Bool[Tensor, "samples"]

    @classmethod
    def of(cls, events: Events) -> EventTruth:
        """All events of these samples."""
        found = events.found
        seconds = events.seconds[found.samples]
        onsets, offsets = (torch.from_numpy(times / seconds) for times in (found.onsets, found.offsets))
        owners, classes = torch.from_numpy(found.samples), torch.from_numpy(found.classes)
        return cls(owners, onsets, offsets, classes, torch.from_numpy(events.known))

    def to(self, device: torch.device, non_blocking: bool = False) -> EventTruth:
        return moved(self, device, non_blocking)

    def activity(self, frames: Lengths, classes: int) -> Bool[Tensor, "frames classes"]:
        """True where a class happens in a frame."""
        number = frames.tensor[self.owners]
        first, beyond = ((share * number - 0.5).ceil().long() for share in (self.onsets, self.offsets))
        # One that covers no middle stands in the frame that its own middle lies in.
        shortest = ((self.onsets + self.offsets) / 2 * number).long()
        short = beyond <= first
        first, beyond = torch.where(short, shortest, first), torch.where(short, shortest + 1, beyond)
        first, beyond = torch.minimum(first.clamp(min=0), number - 1), torch.minimum(beyond.clamp(min=1), number)
        changes = torch.zeros(frames.total + 1, classes, dtype=torch.long, device=number.device)
        start = frames.starts()[self.owners]
        changes.index_put_((start + first, self.classes), torch.ones_like(first), accumulate=True)
        changes.index_put_((start + beyond, self.classes), -torch.ones_like(first), accumulate=True)
        return changes.cumsum(0)[:-1] > 0


@dataclass(frozen=True)
class Decoding:
    """How scores of frames become events."""

    threshold: float | Sequence[float] = 0.5
    """From which a class is taken to happen; one for all, or each class's own."""
    smooth: float = 0.0
    """Seconds of a median filter on the scores."""
    gap: float = 0.0
    """Seconds of silence between two events of a class that are taken for one."""
    shortest: float = 0.0
    """Seconds below which an event is dropped."""

    def __call__(self, scores: Float[np.ndarray, "frames classes"], seconds: float) -> Float[np.ndarray, "found 4"]:
        """Onset, offset, class and mean score of what happens in one sample, by onset."""
        step = seconds / max(len(scores), 1)
        active = self.smoothed(scores, seconds) >= np.asarray(self.threshold)
        rows = [
            (start * step, stop * step, number, float(scores[start:stop, number].mean()))
            for number in range(scores.shape[1])
            for start, stop in self.runs(active[:, number], step)
        ]
        return np.array(sorted(rows), dtype=np.float64).reshape(-1, 4)

    def smoothed(self, scores: Float[np.ndarray, "frames classes"], seconds: float) -> Float[np.ndarray, "frames classes"]:
        """The scores of one sample behind the median filter."""
        step = seconds / max(len(scores), 1)
        width = 2 * round(self.smooth / step / 2) + 1 if len(scores) else 1
        return median_filter(scores, size=(width, 1), mode="nearest") if width > 1 else scores

    def runs(self, active: Bool[np.ndarray, "frames"], step: float) -> list[tuple[int, int]]:
        """First frame and frame beyond the last of each event of one class, where a frame lasts `step` seconds."""
        edges = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]])))
        joined: list[tuple[int, int]] = []
        for start, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            if joined and (start - joined[-1][1]) * step < self.gap:
                joined[-1] = (joined[-1][0], stop)
            else:
                joined.append((start, stop))
        return [(start, stop) for start, stop in joined if (stop - start) * step >= self.shortest]
