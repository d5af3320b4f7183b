"""Spread: whether an embedding still varies, on the scale that the encoder gave it. No labels.

A probe that standardises its features does not see an embedding shrink; this does. The standard deviation per
dimension is what VICReg holds up (Bardes et al. 2022, arXiv 2105.04906).
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from jaxtyping import Float
from pydantic import Field

from manyviews.errors import DataError
from manyviews.evaluate.task import Embedded, Scores, Task


def spread(x: Float[np.ndarray, "units width"], *, dead: float = 1e-3) -> dict[str, float]:
    """Spread of `x`, summed up in float64.

    Returns:
        `std_mean`, `std_min`: of the dimensions' standard deviations; `dead_share`: share of the dimensions whose
        standard deviation is at most `dead` times the root mean square of all entries; `mean_cosine`: mean over all
        pairs of units, 1 at complete collapse.

    Raises:
        DataError: fewer than 2 units.
    """
    units = len(x)
    if units < 2:
        raise DataError(f"spread of {units} units: it needs 2 or more")
    rows = np.asarray(x, dtype=np.float64)
    std = rows.std(0)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    pairs = np.square(unit.sum(0)).sum() - np.square(unit).sum()  # Σ over i≠j of cos(i, j), without the N×N matrix
    return {
        "std_mean": float(std.mean()),
        "std_min": float(std.min()),
        "dead_share": float((std <= dead * np.sqrt(np.square(rows).mean())).mean()),
        "mean_cosine": float(pairs / (units * (units - 1))),
    }


class Spread(Task):
    """Per-dimension spread and mean pairwise cosine of the training units' embedding, not standardised.

    Reports `std_mean`, `std_min`, `dead_share` and `mean_cosine`.

    Args:
        dead: A dimension is dead where its standard deviation is at most so much of the root mean square of all entries.
    """

    needs_labels = False
    better = {"dead_share": "lower"}  # noqa: RUF012

    def __init__(self, *, dead: Annotated[float, Field(ge=0, lt=1)] = 1e-3) -> None:
        self.dead = dead

    def __call__(self, data: Embedded) -> Scores:
        return Scores(spread(data.x[data.rows("train")], dead=self.dead))
