"""The demo on tables: scikit-learn's bundled breast-cancer measurements, or a larger table where one lies at hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sklearn.datasets import load_breast_cancer

from manyviews.demo import Demo


def prepare(folder: Path) -> Demo:
    """Adult census rows from `$MANYVIEWS_DATA/tabular` if they are there, else breast-cancer measurements, as CSV."""
    adult = Path(os.environ.get("MANYVIEWS_DATA", "")) / "tabular" / "adult.csv"
    if os.environ.get("MANYVIEWS_DATA") and adult.is_file():
        return _adult(adult)
    table = folder / "breast_cancer.csv"
    rows = load_breast_cancer(as_frame=True)
    frame = rows.frame.assign(target=rows.target.map({0: "malignant", 1: "benign"})).rename(columns={"target": "diagnosis"})
    frame.to_csv(table, index=False)
    return Demo(
        "tabular/t_jepa_vicreg",
        f"Breast cancer (Wisconsin), {len(frame)} cell samples x 30 measurements, with scikit-learn: {table}",
        {
            "data": {"path": str(table), "target": "diagnosis"},
            "train": {"epochs": 40, "batch_size": 64, "watch_every": 50, "threads": 1},
            "evaluate": [{"task": "linear_probe", "every": 60}, few(30), {"task": "effective_rank"}, {"task": "spread"}],
        },
    )


def few(labels: int) -> dict[str, Any]:
    """A linear probe with few labels, drawn ten times: what one pretrains for."""
    return {"task": "linear_probe", "name": f"linear_probe_{labels}_labels", "labels": labels, "draws": 10}


def _adult(table: Path) -> Demo:
    return Demo(
        "tabular/masked_values",
        f"Adult census, 48,842 rows x 14 columns: {table}",
        {
            "data": {"path": str(table), "target": "income", "splits": str(table.with_name("adult_split.csv"))},
            "train": {"epochs": 6, "threads": 1},
            "evaluate": [{"task": "linear_probe", "every": 100}, few(1000), {"task": "effective_rank"}, {"task": "spread"}],
        },
    )
