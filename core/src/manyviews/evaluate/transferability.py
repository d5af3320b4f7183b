"""Which of several encoders will serve a labelled task best, without training on it.

LogME (You et al. 2021, arXiv 2102.11005): the log evidence of the labels under Bayesian linear regression on the features, its
two precisions found by a fixed point, per unit, averaged over one-hot classes. TMI (Xu & Kang 2023): the entropy of the
features within a class, H(Z|Y) = Σ_c p(c) H(Z|c), each by Kozachenko and Leonenko's nearest neighbours; features that vary
within a class are those that can be moved.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from pydantic import PositiveFloat, PositiveInt
from scipy.spatial import cKDTree
from scipy.special import digamma

from manyviews.errors import DataError
from manyviews.evaluate.cut import check_varied, labels_of
from manyviews.evaluate.metrics import class_count
from manyviews.evaluate.task import Embedded, Scores, Task, labelled
from manyviews.evaluate.threads import torch_threads

X = Float[np.ndarray, "units width"]
ROUNDS, CLOSE = 100, 1e-6
"""Of LogME's fixed point: at most so many, or until the ratio of the precisions changes by less."""


def logme(x: X, y: Float[np.ndarray, "units targets"]) -> float:
    """The mean log evidence of a unit's target, over targets.

    With x = U S Vᵀ: m = V S Uᵀy β / (α + β S²); γ = Σ β s² / (α + β s²), α = γ / mᵀm, β = (n - γ) / ‖x m - y‖²; the evidence is
    ½ (d log α + n log β - Σ log(α + β s²) - (d - r) log α - β‖x m - y‖² - α mᵀm - n log 2π), r the rank of x.
    """
    left, sigma, _ = np.linalg.svd(x, full_matrices=False)
    kept = sigma > sigma.max(initial=0.0) * max(x.shape) * np.finfo(np.float64).eps
    left, energy = left[:, kept], sigma[kept] ** 2
    return float(np.mean([_evidence(left.T @ target, energy, float(target @ target), x.shape) for target in y.T]))


def _evidence(
    along: Float[np.ndarray, "rank"], energy: Float[np.ndarray, "rank"], total: float, shape: tuple[int, ...]
) -> float:
    """Per unit. `along` is Uᵀy, `total` ‖y‖²: what of y lies outside of the features no weights explain."""
    n, width = shape
    outside = max(total - float(along @ along), 0.0)
    alpha = beta = 1.0
    for _ in range(ROUNDS):
        scale = alpha / beta
        gamma = float((energy / (energy + scale)).sum())
        weights2 = float((energy * along**2 / (energy + scale) ** 2).sum())
        error = float((scale**2 * along**2 / (energy + scale) ** 2).sum()) + outside
        alpha = gamma / max(weights2, 1e-12)
        beta = (n - gamma) / max(error, 1e-12)
        if abs(alpha / beta - scale) < CLOSE * scale:
            break
    spread = float(np.log(alpha + beta * energy).sum()) + (width - len(energy)) * np.log(alpha)
    fit = width * np.log(alpha) + n * np.log(beta) - spread - beta * error - alpha * weights2
    return float((fit - n * np.log(2 * np.pi)) / (2 * n))


def entropy(x: X, k: int, floor: float) -> float:
    """Kozachenko and Leonenko 1987, in the maximum norm: ψ(n) - ψ(k) + d mean(log 2 r), r the distance to the k-th neighbour,
    no smaller than `floor`."""
    k = min(k, len(x) - 1)
    reach = cKDTree(x).query(x, [k + 1], p=np.inf)[0][:, 0]
    return float(digamma(len(x)) - digamma(k) + x.shape[1] * np.log(2 * np.maximum(reach, floor)).mean())


def tmi(x: X, y: Int[np.ndarray, "units"], k: int, floor: float) -> float:
    """H(Z|Y). A class of a single unit has no neighbours, and adds nothing."""
    classes, counts = np.unique(y, return_counts=True)
    parts = [count / len(y) * entropy(x[y == c], k, floor) for c, count in zip(classes, counts, strict=True) if count > 1]
    return float(sum(parts))


class Transferability(Task):
    """`logme`, and of classes `tmi`, of the labelled training units: higher is better, for encoders of one width.

    Args:
        k: Neighbour whose distance TMI's entropy is made of.
        floor: Smallest distance that counts. The publication's code has 1.0, for features as they come.
        unit_scale: Bring the features to a mean square of one first: TMI grows with the logarithm of their scale.
        max_units: At most so many units, drawn with a fixed seed.
    """

    needs_labels = True
    better = {"logme": "higher", "tmi": "higher"}  # noqa: RUF012

    def __init__(
        self, *, k: PositiveInt = 3, floor: PositiveFloat = 1e-3, unit_scale: bool = True, max_units: PositiveInt = 10_000
    ) -> None:
        self.k, self.floor, self.unit_scale, self.max_units = k, floor, unit_scale, max_units

    def check(self, data: Embedded) -> None:
        self.rows(data)

    def rows(self, data: Embedded) -> Int[np.ndarray, "rows"]:
        """The labelled training units, or a draw of them."""
        labels = labels_of(data)
        rows = data.rows("train")
        rows = rows[labelled(labels)[rows]]
        if len(rows) < 3:
            raise DataError(f"labels {labels.name!r}: {len(rows)} labelled training units; transferability needs 3 or more")
        if len(rows) > self.max_units:
            rows = np.sort(np.random.default_rng(0).permutation(rows)[: self.max_units])
        check_varied(labels, rows, "training")
        return rows

    def __call__(self, data: Embedded) -> Scores:
        rows, labels = self.rows(data), labels_of(data)
        x, y = data.x[rows].astype(np.float64), labels.values[rows]
        with torch_threads():
            if labels.kind == "regression":
                return Scores({"logme": logme(x, ((y - y.mean()) / y.std())[:, None])})
            targets = (y[:, None] == np.arange(class_count(labels))).astype(np.float64)
            centred = x - x.mean(0)
            size = np.sqrt(np.square(centred).mean())
            scaled = centred / size if self.unit_scale and size else centred
            return Scores({"logme": logme(x, targets), "tmi": tmi(scaled, y, self.k, self.floor)})
