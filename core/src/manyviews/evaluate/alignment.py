"""Alignment and uniformity: views of a unit near one another, units spread over the sphere. No labels.

Wang & Isola 2020 (arXiv 2005.10242): alignment = E ‖f(x) - f(x')‖^α over two views of a unit, uniformity = log E exp(-t ‖f(x) -
f(y)‖²) over pairs of units, on unit vectors. Of both lower is better, and neither means much alone: a point is aligned.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from pydantic import PositiveFloat, PositiveInt
from scipy.spatial.distance import pdist
from scipy.special import logsumexp

from manyviews.errors import DataError
from manyviews.evaluate.task import Embedded, Scores, Task


def unit_vectors(x: Float[np.ndarray, "*any width"]) -> Float[np.ndarray, "*any width"]:
    """Scaled to length one, in float64; zeros stay."""
    x = x.astype(np.float64)
    norms = np.linalg.norm(x, axis=-1, keepdims=True)
    scaled: np.ndarray = np.divide(x, norms, out=np.zeros_like(x), where=norms > 0)
    return scaled


def alignment(left: Float[np.ndarray, "units width"], right: Float[np.ndarray, "units width"], alpha: float = 2.0) -> float:
    """Of unit vectors."""
    return float((np.linalg.norm(left - right, axis=1) ** alpha).mean())


def uniformity(x: Float[np.ndarray, "units width"], t: float = 2.0) -> float:
    """Of unit vectors, over all pairs of different units."""
    return float(logsumexp(-t * pdist(x, "sqeuclidean")) - np.log(len(x) * (len(x) - 1) / 2))


class AlignmentUniformity(Task):
    """`alignment` and `uniformity` of the training units, in two of the recipe's own views each.

    Args:
        alpha: Power of the distance between two views.
        t: Of the Gaussian potential.
        max_units: At most so many units, drawn with a fixed seed: uniformity compares all pairs.
    """

    needs_labels = False
    needs_views = 2
    better = {"alignment": "lower", "uniformity": "lower"}  # noqa: RUF012

    def __init__(self, *, alpha: PositiveFloat = 2.0, t: PositiveFloat = 2.0, max_units: PositiveInt = 2000) -> None:
        self.alpha, self.t, self.max_units = alpha, t, max_units

    def __call__(self, data: Embedded) -> Scores:
        rows = data.rows("train")
        if data.views is None or len(rows) < 2:
            raise DataError(f"alignment and uniformity of {len(rows)} units: they need 2 or more, in two views")
        if len(rows) > self.max_units:
            rows = np.sort(np.random.default_rng(0).permutation(rows)[: self.max_units])
        left, right = unit_vectors(data.views[:2, rows])
        return Scores({"alignment": alignment(left, right, self.alpha), "uniformity": uniformity(left, self.t)})
