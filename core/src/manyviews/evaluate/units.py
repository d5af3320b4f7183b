"""Units to be judged: which there are, which are drawn, and how embeddings come to them.

A unit is a sample, or a token of one. What is known of units (split, label, group, pairs) is known before anything is
embedded, so that only the samples that are needed are read and encoded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from manyviews.errors import DataError
from manyviews.evaluate.task import Embedded, Task, labelled, take_labels
from manyviews.source import Labels, Pairs, Source, Split

Limits = Mapping[Split | Literal[""], int | None]
"""Splits that may be drawn from, and how many units (or pairs) of each at most; None: all. One not named is not touched."""


@dataclass(frozen=True)
class Drawn:
    """What a task is run on."""

    rows: Int[np.ndarray, "rows"]
    """Units, in ascending order."""
    pairs: Pairs | None = None
    """Pairs of units among them, by their numbers, for a task that needs pairs."""


@dataclass(frozen=True)
class Units:
    """All units of a source."""

    counts: Int[np.ndarray, "samples"]
    """Units of each sample."""
    splits: Shaped[np.ndarray, "units"]
    """Of the samples: what was pretrained on. Tasks without labels go by these."""
    probe_splits: Shaped[np.ndarray, "units"]
    """Of the labels: `Labels.splits`, where they have their own."""
    labels: Labels | None
    groups: Shaped[np.ndarray, "units"] | None
    pairs: Pairs | None

    @classmethod
    def of(cls, source: Source, counts: Int[np.ndarray, "samples"] | None = None) -> Units:
        """The samples of a source; with `counts` (tokens of each sample) its tokens, which have their sample's label where
        the source labels samples (the frames of a clip), and their own where it labels tokens (the nodes of a graph).

        Raises:
            DataError: there is not one label for every unit, or a pair names a unit that there is not.
        """
        counts = np.ones(len(source), dtype=np.int64) if counts is None else counts
        name, total = type(source).__name__, int(counts.sum())
        labels, groups, pairs = source.labels(), source.groups(), source.pairs()
        if labels is not None and len(labels.values) == len(source) != total:
            labels = take_labels(labels, np.repeat(np.arange(len(source)), counts))
        if labels is not None and len(labels.values) != total:
            raise DataError(f"{name}: {len(labels.values)} labels {labels.name!r} for {total} units; expected one for each")
        if pairs is not None and len(pairs.left) and (most := int(max(pairs.left.max(), pairs.right.max()))) >= total:
            raise DataError(f"{name}: a pair of {pairs.name!r} names unit {most}, and there are {total}")
        splits = np.repeat(source.splits(), counts)
        own = labels.splits if labels is not None else None
        groups = None if groups is None else np.repeat(groups, counts)
        return cls(counts, splits, splits if own is None else own, labels, groups, pairs)

    def draw(self, limits: Limits, *, with_labels: bool, seed: int) -> Int[np.ndarray, "rows"]:
        """Units of the splits in `limits`, in ascending order; `with_labels`: by the labels' splits, none but labelled ones.

        Both kinds of draw take the first of one permutation, so that where all are labelled they are the same units.
        """
        allowed, splits = np.ones(len(self.splits), dtype=bool), self.splits
        if with_labels:
            splits = self.probe_splits
            allowed = allowed if self.labels is None else labelled(self.labels)
        generator = np.random.default_rng(seed)
        drawn = [np.empty(0, dtype=np.int64)]
        for split in ("train", "valid", "test", ""):
            if split in limits:
                rows = generator.permutation(np.flatnonzero(splits == split))
                drawn.append(rows[allowed[rows]][: limits[split]])
        return np.sort(np.concatenate(drawn))

    def draw_for(self, task: Task, limits: Limits, unlabelled: Limits, *, seed: int) -> Drawn:
        """What `task` is run on. `limits` are of labelled units and of pairs, `unlabelled` of units for other tasks."""
        if task.needs_pairs:
            assert self.pairs is not None, "checked before: a task that needs pairs runs on a source that has them"
            pairs = _draw_pairs(self.pairs, limits, seed)
            return Drawn(np.unique(np.concatenate([pairs.left, pairs.right])), pairs)
        if not task.needs_labels:
            return Drawn(self.draw(unlabelled, with_labels=False, seed=seed))
        if task.every_unit:
            limits = {**limits, "": limits["train"]}
        return Drawn(self.draw(limits, with_labels=True, seed=seed))

    def samples(self, rows: Int[np.ndarray, "rows"]) -> Int[np.ndarray, "samples"]:
        """The samples that these units belong to, each once, in ascending order."""
        return np.unique(self.owners(rows))

    def of_samples(self, samples: Int[np.ndarray, "samples"]) -> Int[np.ndarray, "rows"]:
        """All units of these samples (ascending)."""
        wanted = np.zeros(len(self.counts), dtype=bool)
        wanted[samples] = True
        return np.flatnonzero(np.repeat(wanted, self.counts))

    def owners(self, rows: Int[np.ndarray, "rows"]) -> Int[np.ndarray, "rows"]:
        """The sample that each of these units belongs to."""
        return np.searchsorted(self.counts.cumsum(), rows, side="right")

    def embedded(
        self,
        x: Float[np.ndarray, "given width"],
        given: Int[np.ndarray, "given"],
        task: Task,
        drawn: Drawn,
        views: Float[np.ndarray, "views given view_width"] | None = None,
    ) -> Embedded:
        """What is drawn for `task`, out of `x` and `views`, the vectors of the units `given` (ascending)."""
        rows, pairs = drawn.rows, drawn.pairs
        places = np.searchsorted(given, rows)
        if pairs is not None:
            pairs = replace(pairs, left=np.searchsorted(rows, pairs.left), right=np.searchsorted(rows, pairs.right))
        return Embedded(
            x[places],
            (self.probe_splits if task.needs_labels else self.splits)[rows],
            None if self.labels is None else take_labels(self.labels, rows),
            None if self.groups is None else self.groups[rows],
            pairs,
            None if views is None else views[:, places],
        )


def _draw_pairs(pairs: Pairs, limits: Limits, seed: int) -> Pairs:
    """Of each split in `limits` so many, those that belong together and others in the shares that they have."""
    generator = np.random.default_rng(seed)
    drawn = [np.empty(0, dtype=np.int64)]
    for split in ("train", "valid", "test"):
        if split in limits:
            rows = generator.permutation(np.flatnonzero(pairs.splits == split))
            drawn.append(rows[: limits[split]])
    return take_pairs(pairs, np.sort(np.concatenate(drawn)))


def take_pairs(pairs: Pairs, rows: Int[np.ndarray, "rows"] | Bool[np.ndarray, "pairs"]) -> Pairs:
    """Some of the pairs."""
    return replace(pairs, left=pairs.left[rows], right=pairs.right[rows], same=pairs.same[rows], splits=pairs.splits[rows])
