"""Small tables with all that real ones have, as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest


def small_table(rows: int = 240, seed: int = 0) -> pd.DataFrame:
    """Numbers that depend on one another, whole ones, dates, categories, missing cells, and a label that the numbers tell."""
    random = np.random.default_rng(seed)
    size, kind = random.normal(size=rows), random.integers(0, 3, rows)
    frame = pd.DataFrame(
        {
            "size": size + kind,
            "weight": 2 * size + random.normal(scale=0.3, size=rows),
            "price": np.exp(size),
            "kind": np.array(["oak", "elm", "ash"])[kind],
            "colour": random.choice(["red", "blue"], rows),
            "label": np.where(size + 0.3 * random.normal(size=rows) > 0, "big", "small"),
        }
    )
    frame.insert(3, "rings", random.integers(3, 90, rows))
    frame.insert(4, "found", pd.Timestamp("2020-01-31") + pd.to_timedelta(random.integers(0, 900, rows), unit="D"))
    frame.loc[::17, "weight"] = np.nan
    frame.loc[::23, "colour"] = None
    return frame


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """The small table as a CSV file."""
    path = tmp_path / "table.csv"
    small_table().to_csv(path, index=False)
    return path
