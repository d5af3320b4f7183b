"""How well classes stand apart in an embedding, with nothing fitted.

`nc1`: within-class over between-class covariance, tr(Σ_W Σ_B⁺) / classes (variability collapse; Papyan et al. 2020).
`fisher`: tr(S_B) / tr(S_W), the ratio of the scatters (Fisher 1936). `silhouette`: the mean of (b - a) / max(a, b) by cosine
(Rousseeuw 1987), scikit-learn's.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from pydantic import PositiveInt
from sklearn.metrics import silhouette_score

from manyviews.errors import DataError
from manyviews.evaluate.cut import check_varied, labels_of
from manyviews.evaluate.task import Embedded, Scores, Task, labelled
from manyviews.evaluate.threads import torch_threads


def scatters(
    x: Float[np.ndarray, "units width"], y: Int[np.ndarray, "units"]
) -> tuple[Float[np.ndarray, "width width"], Float[np.ndarray, "width width"]]:
    """Within-class and between-class covariance: Σ_c n_c/n cov_c, and Σ_c n_c/n (μ_c - μ)(μ_c - μ)ᵀ."""
    _, places, counts = np.unique(y, return_inverse=True, return_counts=True)
    means = np.zeros((len(counts), x.shape[1]))
    np.add.at(means, places, x)
    means /= counts[:, None]
    inside, between = x - means[places], means - x.mean(0)
    return inside.T @ inside / len(x), (between * (counts / len(x))[:, None]).T @ between


class Separability(Task):
    """`silhouette` (cosine), `fisher` and `nc1` of the labelled training units.

    Args:
        max_units: At most so many units, drawn with a fixed seed: the silhouette compares all pairs.
    """

    needs_labels = True
    needs_classes = True
    better = {"silhouette": "higher", "fisher": "higher", "nc1": "lower"}  # noqa: RUF012

    def __init__(self, *, max_units: PositiveInt = 5_000) -> None:
        self.max_units = max_units

    def check(self, data: Embedded) -> None:
        self.rows(data)

    def rows(self, data: Embedded) -> Int[np.ndarray, "rows"]:
        """The labelled training units, or a draw of them."""
        labels = labels_of(data)
        if labels.kind != "classification":
            raise DataError(f"labels {labels.name!r} are numbers, and what is told apart are classes: leave the task out")
        rows = data.rows("train")
        rows = rows[labelled(labels)[rows]]
        if not len(rows):
            raise DataError(f"labels {labels.name!r}: no training unit is labelled")
        if len(rows) > self.max_units:
            rows = np.sort(np.random.default_rng(0).permutation(rows)[: self.max_units])
        check_varied(labels, rows, "training")
        if len(np.unique(labels.values[rows])) == len(rows):
            raise DataError(f"labels {labels.name!r}: each of the {len(rows)} training units is a class of its own")
        return rows

    def __call__(self, data: Embedded) -> Scores:
        rows = self.rows(data)
        x, y = data.x[rows].astype(np.float64), labels_of(data).values[rows]
        with torch_threads():
            inside, between = scatters(x, y)
            silhouette = float(silhouette_score(x, y, metric="cosine")) if np.ptp(x) else 0.0
            collapse = float(np.trace(inside @ np.linalg.pinv(between)) / len(np.unique(y)))
        ratio = float(np.trace(between) / max(np.trace(inside), np.finfo(np.float64).tiny))
        return Scores({"silhouette": silhouette, "fisher": ratio, "nc1": collapse})
