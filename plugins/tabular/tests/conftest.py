"""Small tables for the package's tests."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest


@pytest.fixture
def frame() -> pd.DataFrame:
    """60 rows with every kind of column: numbers, text, booleans, dates, missing values, a key, a constant, nothing."""
    random = np.random.default_rng(0)
    rows = 60
    age = random.integers(18, 80, rows).astype(float)
    age[[3, 17]] = np.nan
    city = random.choice(["Bern", "Rome", "Oslo"], rows).astype(object)
    city[5] = None
    return pd.DataFrame(
        {
            "key": [f"id-{i:03d}" for i in range(rows)],
            "age": age,
            "income": random.lognormal(10, 1, rows),
            "city": city,
            "member": random.random(rows) < 0.5,
            "joined": pd.date_range("2021-01-01", periods=rows, freq="37h").strftime("%Y-%m-%d %H:%M:%S"),
            "constant": 1,
            "empty": [None] * rows,
            "label": random.choice(["no", "yes"], rows, p=[0.7, 0.3]),
        }
    )
