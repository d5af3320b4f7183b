"""How alike two units are, read off their embeddings: as they stand, or with a score fitted on training pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from manyviews.errors import DataError
from manyviews.evaluate.cut import Cut, cut
from manyviews.evaluate.linear_probe import LinearProbe
from manyviews.evaluate.standardize import Standardizer
from manyviews.evaluate.task import Embedded
from manyviews.evaluate.threads import torch_threads
from manyviews.source import Labels, Pairs

Likeness = Literal["cosine", "dot", "hadamard"]
"""`cosine`, `dot`: of the two vectors. `hadamard`: a logistic regression on their product, dimension by dimension, fitted on
the training pairs (node2vec's edge features; Grover & Leskovec 2016)."""
CHUNK = 1 << 15
"""Pairs scored at a time."""

Rows = Int[np.ndarray, "rows"]


@dataclass(frozen=True)
class Scored:
    """The pairs that are reported."""

    score: Float[np.ndarray, "pairs"]
    """Higher: more alike."""
    same: Bool[np.ndarray, "pairs"]
    notes: tuple[str, ...]


def pairs_of(data: Embedded) -> Pairs:
    """The pairs, or the error that there are none."""
    if data.pairs is None:
        raise DataError("this task needs pairs, and the source has none: name them in `data`, or leave the task out")
    return data.pairs


def roles(data: Embedded, likeness: Likeness) -> Cut:
    """Pairs by role, as probes cut units: report test (else valid) pairs; fit on the others where the score is fitted.

    Raises:
        DataError: no pairs, none to report, or of one kind only; with `hadamard` no training pairs to fit on.
    """
    pairs = pairs_of(data)
    if likeness == "hadamard":
        labels = Labels(pairs.name, "classification", pairs.same.astype(np.int64), ("apart", "together"))
        nothing = np.empty((len(pairs.same), 0), np.float32)
        try:
            return cut(Embedded(nothing, pairs.splits, labels), choosing=True)
        except DataError as error:
            raise DataError(f"pairs {pairs.name!r}: {error}\n`score: cosine` needs no training pairs") from error
    empty = np.empty(0, np.int64)
    by_split = {split: np.flatnonzero(pairs.splits == split) for split in ("test", "valid", "train")}
    split, report = next(((split, rows) for split, rows in by_split.items() if len(rows)), ("", empty))
    if not len(report):
        raise DataError(f"pairs {pairs.name!r}: there are none in any split")
    if len(np.unique(pairs.same[report])) < 2:
        all_are = "belong together" if pairs.same[report].all() else "do not belong together"
        raise DataError(
            f"pairs {pairs.name!r}: all {len(report)} of split {split!r}, which are reported, {all_are}; there must be some of "
            "either kind. A split of several groups has both (`data.splits`)"
        )
    return Cut(empty, empty, report, ())


def score_pairs(data: Embedded, likeness: Likeness) -> Scored:
    """The scores of the reported pairs."""
    pairs, parts = pairs_of(data), roles(data, likeness)
    x = torch.from_numpy(np.ascontiguousarray(data.x, dtype=np.float32))
    with torch_threads():
        score = _fitted(x, pairs, parts) if likeness == "hadamard" else _plain(x, likeness)
        chunks = np.array_split(parts.report, max(1, -(-len(parts.report) // CHUNK)))
        scores = torch.cat([score(pairs.left[rows], pairs.right[rows]) for rows in chunks])
    return Scored(scores.double().numpy(), pairs.same[parts.report], parts.notes)


Score = Callable[[Rows, Rows], Tensor]


def _plain(x: Float[Tensor, "units width"], likeness: Likeness) -> Score:
    x = F.normalize(x, dim=1) if likeness == "cosine" else x
    return lambda left, right: (x[left] * x[right]).sum(1)


def _fitted(x: Float[Tensor, "units width"], pairs: Pairs, parts: Cut) -> Score:
    """Logistic regression, its penalty chosen on the validation pairs, as the linear probe's."""

    def product(left: Rows, right: Rows) -> Float[Tensor, "pairs width"]:
        return x[left] * x[right]

    def of(rows: Rows) -> Float[Tensor, "pairs width"]:
        return product(pairs.left[rows], pairs.right[rows])

    standardizer = Standardizer.fit(of(parts.fit), True)
    truth = pairs.same.astype(np.int64)
    model = LinearProbe().classification(
        standardizer(of(parts.fit)), truth[parts.fit], standardizer(of(parts.choose)), truth[parts.choose]
    )
    return lambda left, right: model(standardizer(product(left, right))).squeeze(1)
