"""Clustering: whether the classes are the embedding's own groups, with nothing fitted to the labels.

k-means with as many clusters as there are classes, over all labelled units whatever their split; then how well clusters
and classes agree: normalised mutual information (arithmetic mean; Vinh et al. 2010), the adjusted Rand index (Hubert &
Arabie 1985), and the accuracy under the best matching of clusters to classes (the Hungarian method; Xie et al. 2016).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int
from pydantic import NonNegativeInt, PositiveInt
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix
from sklearn.preprocessing import normalize

from manyviews.errors import DataError
from manyviews.evaluate.cut import check_varied, labels_of
from manyviews.evaluate.task import Embedded, Scores, Task, labelled
from manyviews.evaluate.threads import torch_threads


def matched_accuracy(classes: Int[np.ndarray, "units"], clusters: Int[np.ndarray, "units"]) -> float:
    """Share of the units whose cluster is matched to their class, under the matching one to one that makes it largest."""
    table = contingency_matrix(classes, clusters)
    return float(table[linear_sum_assignment(table, maximize=True)].sum() / len(classes))


class Clustering(Task):
    """k-means against the classes: `nmi`, `ari` and `accuracy` (clusters matched to classes), mean and std over `seeds`.

    Args:
        seeds: Runs of k-means, each from its own initial centres.
        starts: Initial centres tried in each run; the tightest clustering counts.
        seed: Of the first run; the others count on from it.
        unit_length: Scale each vector to length one first, so that clusters are of directions (cosine).
    """

    needs_labels = True
    needs_classes = True
    every_unit = True
    better = {"nmi": "higher", "ari": "higher", "accuracy": "higher"}  # noqa: RUF012

    def __init__(
        self, *, seeds: PositiveInt = 10, starts: PositiveInt = 1, seed: NonNegativeInt = 0, unit_length: bool = False
    ) -> None:
        self.seeds, self.starts, self.seed, self.unit_length = seeds, starts, seed, unit_length

    def check(self, data: Embedded) -> None:
        self.rows(data)

    def rows(self, data: Embedded) -> Int[np.ndarray, "rows"]:
        """The labelled units."""
        labels = labels_of(data)
        if labels.kind != "classification":
            raise DataError(f"labels {labels.name!r} are numbers, and clusters are compared with classes: leave the task out")
        rows = np.flatnonzero(labelled(labels))
        if not len(rows):
            raise DataError(f"labels {labels.name!r}: none of the {len(labels.values)} units is labelled")
        check_varied(labels, rows, "labelled")
        return rows

    def __call__(self, data: Embedded) -> Scores:
        rows = self.rows(data)
        classes = labels_of(data).values[rows]
        x = np.ascontiguousarray(data.x[rows], dtype=np.float64)  # whatever its scale: sums of squares in float32 lose it
        x = normalize(x) if self.unit_length else x
        with torch_threads():
            return Scores.over([self.scores(x, classes, self.seed + run) for run in range(self.seeds)])

    def scores(self, x: np.ndarray, classes: Int[np.ndarray, "units"], seed: int) -> dict[str, float]:
        """One run of k-means."""
        count = len(np.unique(classes))
        if len(np.unique(x, axis=0)) < count:  # a collapsed embedding: k-means would warn of it and return fewer clusters
            clusters = np.unique(x, axis=0, return_inverse=True)[1].reshape(-1)
        else:
            clusters = KMeans(count, n_init=self.starts, random_state=seed).fit_predict(x)
        return {
            "nmi": float(normalized_mutual_info_score(classes, clusters)),
            "ari": float(adjusted_rand_score(classes, clusters)),
            "accuracy": matched_accuracy(classes, clusters),
        }
