"""A mean over repetitions, and how sure one can be of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t


@dataclass(frozen=True)
class Interval:
    """Mean of repeated runs with its 95% interval."""

    mean: float
    low: float | None
    """None where there is a single run."""
    high: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Interval:
        """By Student's t: mean ± t(.975, n - 1) s / √n."""
        mean = float(np.mean(values))
        if len(values) < 2:
            return cls(mean, None, None)
        half = float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)))
        return cls(mean, mean - half, mean + half)

    def __str__(self) -> str:
        return f"{self.mean:.4g}" if self.low is None else f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}]"
