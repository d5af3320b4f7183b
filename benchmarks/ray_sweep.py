"""A sweep by two processes of this machine, and by two workers of Ray: whether every loss and score is the same, what the start
costs, and the CPU time.

python benchmarks/ray_sweep.py [--quick]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from _cpu_time import timed
from pyarrow import parquet

from manyviews.engine.run import Run
from manyviews.recipe.load import load_recipe

ROWS, STEPS, QUICK_STEPS = 4000, 200, 10
MAIN = "from manyviews.cli.main import main; main()"


def write(path: Path) -> None:
    """Ten numbers, and a class that some of them tell."""
    x = np.random.default_rng(0).normal(size=(10, ROWS)).astype(np.float32)
    columns = {f"x{number}": column for number, column in enumerate(x)}
    parquet.write_table(pa.table(columns | {"y": np.where(x[0] * x[1] > 0, "same", "other")}), path)


def sweep(folder: Path, engine: str, steps: int) -> dict[str, float]:
    """Four trials by two workers: seconds of wall clock and of CPU time."""
    fixed = [f"data.path={folder / 'rows.parquet'}", "data.target=y", f"train.steps={steps}", "train.epochs=null"]
    rest = ["train.device=cpu", "track=null", "encoder.width=64", "--folder", str(folder / engine), "--workers", "2"]
    words = ["sweep", "tabular/scarf", *fixed, "optim.lr=0.001,0.003", "train.seed=0,1", *rest, "--engine", engine]
    return timed([sys.executable, "-W", "ignore", "-c", MAIN, *words], os.environ | {"RAY_ADDRESS": "local"})


def readings(folder: Path) -> Mapping[str, Any]:
    """Losses and scores of each trial, by its seed and rate."""
    found: dict[str, dict[str, list[float]]] = {}
    for path in sorted(folder.glob("*/*/run.json")):
        recipe = load_recipe(str(path.parent / "recipe.yaml"))
        values = found.setdefault(f"seed {recipe.train.seed}, rate {recipe.optim.lr}", {})
        for entry in Run.at(path.parent).metrics():
            for name, value in entry.metrics.items():
                if name.startswith(("train/loss", "eval/")):
                    values.setdefault(name, []).append(value)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if importlib.util.find_spec("ray") is None:
        print(json.dumps({"skipped": "Ray is not installed"}))
        return
    results: dict[str, Any] = {"ray version": version("ray"), "load": os.getloadavg()}
    with tempfile.TemporaryDirectory() as place:
        folder, found = Path(place), {}
        write(folder / "rows.parquet")
        for engine in ("local", "ray"):
            results[engine] = sweep(folder, engine, QUICK_STEPS if options.quick else STEPS)
            found[engine] = readings(folder / engine)
            print(f"{engine}: {len(found[engine])} trials, {results[engine]}", file=sys.stderr)
        values = sum(len(part) for trial in found["local"].values() for part in trial.values())
        results |= {"trials": len(found["local"]), "values": values, "equal": found["local"] == found["ray"]}
    print(json.dumps(results))


if __name__ == "__main__":
    main()
