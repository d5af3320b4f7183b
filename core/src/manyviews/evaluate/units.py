"""Units to be judged: which there are, which are drawn, and how embeddings come to them.

A unit is a sample, or a token of one. What is known of units (split, label, group) is known before anything is
embedded, so that only the samples that are needed are read and encoded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from manyviews.errors import DataError
from manyviews.evaluate.task import Embedded, labelled, take_labels
from manyviews.source import Labels, Source, Split

Limits = Mapping[Split, int | None]
"""Splits that may be drawn from, and how many units of each at most; None: all. A split not named is not touched."""


@dataclass(frozen=True)
class Units:
    """All units of a source."""

    counts: Int[np.ndarray, "samples"]
    """Units of each sample."""
    splits: Shaped[np.ndarray, "units"]
    labels: Labels | None
    groups: Shaped[np.ndarray, "units"] | None

    @classmethod
    def of(cls, source: Source, counts: Int[np.ndarray, "samples"] | None = None) -> Units:
        """The samples of a source; with `counts` (tokens of each sample) its tokens.

        Raises:
            DataError: there is not one label for every unit.
        """
        counts = np.ones(len(source), dtype=np.int64) if counts is None else counts
        total = int(counts.sum())
        labels, groups = source.labels(), source.groups()
        if labels is not None and len(labels.values) != total:
            name = type(source).__name__
            hint = (
                "\nThese are labels of samples: choose `unit: sample`, or name no labels"
                if len(labels.values) == len(source)
                else ""
            )
            raise DataError(
                f"{name}: {len(labels.values)} labels {labels.name!r} for {total} units; expected one for each{hint}"
            )
        own = labels.splits if labels is not None else None
        splits = np.repeat(source.splits(), counts) if own is None else own
        return cls(counts, splits, labels, None if groups is None else np.repeat(groups, counts))

    def draw(self, limits: Limits, *, with_labels: bool, seed: int) -> Int[np.ndarray, "rows"]:
        """Units of the splits in `limits`, in ascending order; `with_labels`: none but labelled ones.

        Both kinds of draw take the first of one permutation, so that where all are labelled they are the same units.
        """
        allowed = np.ones(len(self.splits), dtype=bool)
        if with_labels and self.labels is not None:
            allowed = labelled(self.labels)
        generator = np.random.default_rng(seed)
        drawn = [np.empty(0, dtype=np.int64)]
        for split in ("train", "valid", "test"):
            if split in limits:
                rows = generator.permutation(np.flatnonzero(self.splits == split))
                drawn.append(rows[allowed[rows]][: limits[split]])
        return np.sort(np.concatenate(drawn))

    def samples(self, rows: Int[np.ndarray, "rows"]) -> Int[np.ndarray, "samples"]:
        """The samples that these units belong to, each once, in ascending order."""
        return np.unique(self._owners(rows))

    def embedded(
        self, x: Float[np.ndarray, "given width"], samples: Int[np.ndarray, "samples"], rows: Int[np.ndarray, "rows"]
    ) -> Embedded:
        """The units `rows`, out of `x`, the vectors of all units of `samples` (ascending), back to back."""
        counts = self.counts[samples]
        assert len(x) == counts.sum(), "one vector for each unit of the samples"
        owners = self._owners(rows)
        place_in_sample = rows - (self.counts.cumsum() - self.counts)[owners]
        places = (counts.cumsum() - counts)[np.searchsorted(samples, owners)] + place_in_sample
        return Embedded(
            x[places],
            self.splits[rows],
            None if self.labels is None else take_labels(self.labels, rows),
            None if self.groups is None else self.groups[rows],
        )

    def _owners(self, rows: Int[np.ndarray, "rows"]) -> Int[np.ndarray, "rows"]:
        return np.searchsorted(self.counts.cumsum(), rows, side="right")
