"""Small tables with all that real ones have, and the sizes at which the package's parts are tried on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from manyviews.testing.trial import Trial

if TYPE_CHECKING:
    import pandas as pd


def small_table(rows: int = 240, seed: int = 0) -> pd.DataFrame:
    """Numbers that depend on one another, whole ones, dates, categories, missing cells, and a label that the numbers tell."""
    import numpy as np
    import pandas as pd

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


def csv(folder: Path) -> dict[str, Any]:
    """A CSV file with a label column."""
    small_table().to_csv(folder / "table.csv", index=False)
    return {"data": {"source": "table", "path": str(folder / "table.csv"), "target": "label"}}


def parquet(folder: Path) -> dict[str, Any]:
    """Parquet files in a folder, streamed by row groups, to regress on one of the numbers."""
    for number in range(2):
        small_table(120, number).to_parquet(folder / f"part-{number}.parquet", index=False, row_group_size=40)
    return {"data": {"source": "table", "path": str(folder), "target": "price", "memory": 0.0}}


def numbers(folder: Path) -> dict[str, Any]:
    """Numbers alone, without labels."""
    small_table(60)[["size", "weight", "price"]].to_csv(folder / "numbers.csv", index=False)
    return {"data": {"source": "table", "path": str(folder / "numbers.csv")}}


SMALL = {"width": 16, "depth": 1, "heads": 2}
TRIAL = Trial(
    data={"csv": csv, "parquet": parquet, "numbers": numbers},
    parts={
        "tabular/transformer": SMALL,
        "tabular/mlp": {"width": 16, "depth": 1, "column_width": 4},
        "tabular/values": {**SMALL, "depth": 1},
        "jepa": SMALL,
        "masked_reconstruction": SMALL,
        "dino": {"hidden": 32, "bottleneck": 16, "out": 64},
    },
    variants={
        "tabular/transformer": {
            "replace": {"hide": "replace", "numbers": "bins", "pool": "reg_mean"},
            "post": {"norm": "post", "pool": "reg"},
            "pieces": {"numbers": "piecewise"},
        },
        "tabular/mlp": {"bins": {"numbers": "bins"}, "pieces": {"numbers": "piecewise"}},
        "tabular/scarf": {"both": {"both": True}},
        "tabular/values": {"mse": {"numbers": "mse"}},
        "barlow_twins": {"mixed": {"mixed_weight": 5.0}},
    },
)
