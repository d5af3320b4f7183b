"""The raw input as plain vectors: what every result table compares embeddings with."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from manyviews_tabular.encode import Encoded
from manyviews_tabular.schema import MISSING, UNSEEN, TableSpec

MOST_LEVELS = 100
"""Levels of a category that get a feature of their own, the commonest first."""


def one_hot(rows: Encoded, spec: TableSpec) -> Float[np.ndarray, "rows features"]:
    """Standardised numbers, one flag for each number that can be missing, one-hot categories (UNSEEN is all zeros)."""
    flagged = [i for i, column in enumerate(spec.numeric) if column.missing > 0]
    parts = [rows.standard, rows.missing[:, flagged].astype(np.float32)]
    for i, column in enumerate(spec.categorical):
        shown = [
            code for code in range(min(column.size, MOST_LEVELS)) if code != UNSEEN and (code != MISSING or column.missing > 0)
        ]
        parts.append((rows.codes[:, i, None] == np.array(shown)).astype(np.float32))
    return np.concatenate(parts, axis=1)
