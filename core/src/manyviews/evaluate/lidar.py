"""LiDAR: how many directions tell samples apart more than their views do. No labels.

Thilak et al. 2023 (arXiv 2312.04000): each sample is a class of its own, its views are the members; the effective rank of the
linear discriminant matrix. Unlike RankMe, directions that only tell views of one sample apart do not count.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from jaxtyping import Float
from pydantic import Field, PositiveFloat, PositiveInt

from manyviews.errors import DataError
from manyviews.evaluate.task import Embedded, Scores, Task
from manyviews.evaluate.threads import torch_threads


def lidar(views: Float[np.ndarray, "views units width"], delta: float = 1e-4, epsilon: float = 1e-7) -> float:
    """exp(-Σ p log p), p = λ / ‖λ‖₁ + ε, λ the eigenvalues of Σ_w^-½ Σ_b Σ_w^-½, Σ_w = E (e - μ_x)(e - μ_x)ᵀ + δI,
    Σ_b = E (μ_x - μ)(μ_x - μ)ᵀ (equations 1 to 4), in float64."""
    e = views.astype(np.float64)
    means = e.mean(0)
    inside, between = (e - means).reshape(-1, e.shape[2]), means - means.mean(0)
    within = inside.T @ inside / len(inside) + delta * np.eye(e.shape[2])
    energy, axes = np.linalg.eigh(within)
    white = between @ (axes / np.sqrt(energy))
    # The eigenvalues of white'white / n are the squared singular values, without squaring rounding twice.
    values = np.linalg.svd(white, compute_uv=False) ** 2 / len(white)
    values = np.pad(values, (0, e.shape[2] - len(values)))
    if not values.sum():
        return 0.0
    p = values / values.sum() + epsilon
    return float(np.exp(-(p * np.log(p)).sum()))


class LiDAR(Task):
    """`lidar` of the training units, in several of the recipe's own views each.

    Args:
        views: Of each unit; the publication has 50.
        delta: Added to the within-unit covariance.
        max_units: At most so many units, drawn with a fixed seed; the publication has 1,000.
    """

    needs_labels = False
    better = {"lidar": "higher"}  # noqa: RUF012

    def __init__(
        self, *, views: Annotated[int, Field(ge=2)] = 10, delta: PositiveFloat = 1e-4, max_units: PositiveInt = 1000
    ) -> None:
        self.needs_views, self.delta, self.max_units = views, delta, max_units

    def __call__(self, data: Embedded) -> Scores:
        rows = data.rows("train")
        if data.views is None or len(rows) < 2:
            raise DataError(f"lidar of {len(rows)} units: it needs 2 or more, in several views")
        if len(rows) > self.max_units:
            rows = np.sort(np.random.default_rng(0).permutation(rows)[: self.max_units])
        width = data.views.shape[2]
        notes = (f"lidar of {len(rows):,} units is bounded by their number, not by the width {width:,}",)
        with torch_threads():
            return Scores({"lidar": lidar(data.views[:, rows], self.delta)}, notes=notes * (len(rows) <= width))
