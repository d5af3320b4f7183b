"""Numbers brought to a common scale, by statistics of the training rows.

Quantile scaling is the default: a few huge values (capital_gain) squash everything else under min-max or standard
scaling. It is the mid-distribution function, P(X < x) + P(X = x)/2, at up to `KNOTS` values of the column, then
linear in between: exact for ties, and strictly increasing, so that two values of the column never fall together.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from manyviews.source import Spec

KNOTS = 257
EDGE = 1e-3
"""A normal has no finite end: shares are kept this far from 0 and 1, which is +-3.09."""

ScalingName = Literal["quantile", "quantile_uniform", "robust", "standard"]


class Scaling(Spec):
    """x -> y: piecewise-linear through (knots, values), or (x - center) / scale where there are no knots."""

    name: ScalingName
    knots: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    center: float = 0.0
    scale: float = 1.0

    def __call__(self, x: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Scaled numbers; NaN stays NaN. Values beyond the outer knots are set to the outer values."""
        if self.knots:
            return np.interp(x, self.knots, self.values)
        return (x - self.center) / self.scale


def fit_scaling(name: ScalingName, x: Float[np.ndarray, "rows"]) -> Scaling:
    """The scaling of a column from its training values (finite, at least two distinct ones)."""
    match name:
        case "standard":
            return Scaling(name=name, center=float(x.mean()), scale=float(x.std()))
        case "robust":
            low, middle, high = np.quantile(x, [0.25, 0.5, 0.75])
            spread = high - low if high > low else x.std()
            return Scaling(name=name, center=float(middle), scale=float(spread))
        case _:
            return _quantile(name, np.sort(x))


def _quantile(name: ScalingName, ordered: Float[np.ndarray, "rows"]) -> Scaling:
    knots = _distinct(ordered, KNOTS)
    below, upto = np.searchsorted(ordered, knots, "left"), np.searchsorted(ordered, knots, "right")
    share = (below + upto) / (2 * len(ordered))
    values = 2 * share - 1 if name == "quantile_uniform" else ndtri(EDGE + (1 - 2 * EDGE) * share)
    return Scaling(name=name, knots=tuple(knots.tolist()), values=tuple(values.tolist()))


def quantile_bins(x: Float[np.ndarray, "rows"], bins: int) -> Float[np.ndarray, "edges"]:
    """Inner edges of at most `bins` bins, each a bin's least value; every distinct value its own bin where there are few.

    A value that fills a bin by itself begins one, and the other bins hold about equally many of what is left: the few
    capital gains above zero are told apart, however many zeros there are.
    """
    distinct, counts = np.unique(x, return_counts=True)
    if len(distinct) <= bins:
        return distinct[1:]
    heavy = counts * bins >= len(x)
    rest, left = np.repeat(distinct[~heavy], counts[~heavy]), bins - int(heavy.sum())
    begins = np.union1d(distinct[heavy], rest[np.arange(left) * len(rest) // left])
    return begins[1:]


def _distinct(ordered: Float[np.ndarray, "rows"], most: int) -> Float[np.ndarray, "values"]:
    """All distinct values, or at most `most` at equal steps of rank."""
    distinct = ordered[np.flatnonzero(np.diff(ordered, prepend=np.nan) != 0)]
    if len(distinct) > most:
        return np.unique(ordered[np.round(np.linspace(0, 1, most) * (len(ordered) - 1)).astype(int)])
    return distinct
