"""Which checkpoint of a run to take: the choice that label-free scores make, beside the one that labels would make.

    python benchmarks/selection.py --data DATA/tabular [--seeds 2] [--steps 800] [--jobs adult/t_jepa,…]
    python benchmarks/selection.py --quick

Each run keeps nine checkpoints, the first an eighth into it. Effective rank, LiDAR and uniformity are read on training rows as
it goes, a linear probe on the validation rows. Each picks a checkpoint; so do "the last" and an oracle that sees the test
rows. Reported is the test score of a linear probe on the checkpoint that was picked. Prints a line a run, then one JSON
object: for each way to choose, how far its choice stays behind the oracle's on average.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

LOOKS = 8
METRICS = {"adult": "auc", "telco_churn": "auc", "covertype_20k": "accuracy", "breast_cancer": "auc"}
TARGETS = {"adult": "income", "telco_churn": "Churn", "covertype_20k": "Cover_Type", "breast_cancer": "diagnosis"}
SCORES = {
    "effective rank": ("eval/effective_rank/effective_rank", 1),
    "LiDAR": ("eval/lidar/lidar", 1),
    "uniformity": ("eval/alignment_uniformity/uniformity", -1),
}


def one_run(table: str, recipe: str, data: Path, seed: int, steps: int) -> dict[str, float]:
    """Test score of the checkpoint that each way picks."""
    from manyviews.engine.choose import judge_checkpoints
    from manyviews.engine.pretrain import pretrain
    from manyviews.track.noise import quiet

    every = steps // LOOKS
    split = data / f"{table}_split.csv"
    tasks = [
        {"task": "linear_probe", "every": every},
        {"task": "effective_rank", "every": every},
        {"task": "lidar", "every": every, "views": 6, "max_units": 500},
        {"task": "alignment_uniformity", "every": every},
    ]
    with tempfile.TemporaryDirectory() as folder, quiet():
        run = pretrain(
            f"tabular/{recipe}",
            data={
                "path": str(data / f"{table}.csv"),
                "target": TARGETS[table],
                **({"splits": str(split)} if split.is_file() else {}),
            },
            evaluate=tasks,
            train={
                "steps": steps,
                "epochs": None,
                "batch_size": 256 if table != "breast_cancer" else 64,
                "checkpoint_every": every,
                "keep_checkpoints": LOOKS + 1,
                "seed": seed,
                "device": "cpu",
                "folder": folder,
            },
            track=None,
        )
        metric = METRICS[table]
        judged = judge_checkpoints(run.folder, tasks=("linear_probe",), max_units=4000, device="cpu")
        test = {int(row.representation[5:]): row.scores.metrics[metric] for row in judged.rows}
        readings: dict[str, dict[int, float]] = {}
        for entry in run.metrics():
            for name, value in entry.metrics.items():
                readings.setdefault(name, {})[entry.step] = value
    return picked(test, readings, f"eval/linear_probe/{metric}")


def picked(test: Mapping[int, float], readings: Mapping[str, Mapping[int, float]], labels: str) -> dict[str, float]:
    """Way -> test score."""
    ways = {**SCORES, "labels (valid)": (labels, 1)}
    steps = sorted(test)
    chosen = {way: max(steps, key=lambda step: sign * readings[name][step]) for way, (name, sign) in ways.items()}
    return {
        **{way: test[step] for way, step in chosen.items()},
        "last": test[steps[-1]],
        "first": test[steps[0]],
        "oracle": max(test.values()),
    }


def quick_data(folder: Path) -> Path:
    """A small table that is always there."""
    from sklearn.datasets import load_breast_cancer

    frame = load_breast_cancer(as_frame=True).frame.rename(columns={"target": "diagnosis"})
    frame["diagnosis"] = frame["diagnosis"].map({0: "malignant", 1: "benign"})
    frame.to_csv(folder / "breast_cancer.csv", index=False)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--jobs", default="adult/t_jepa,adult/t_jepa_vicreg,adult/masked_values,adult/scarf,telco_churn/t_jepa")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = quick_data(Path(folder)) if given.quick else given.data
        jobs = ["breast_cancer/masked_values"] if given.quick else given.jobs.split(",")
        found: list[dict[str, Any]] = []
        for job in jobs:
            table, _, recipe = job.partition("/")
            for seed in range(1 if given.quick else given.seeds):
                scores = one_run(table, recipe, data, seed, 64 if given.quick else given.steps)
                found.append({"job": job, "seed": seed, **scores})
                print(json.dumps(found[-1]), flush=True)
    ways = [way for way in found[0] if way not in ("job", "seed", "oracle")]
    behind = {way: round(mean(run["oracle"] - run[way] for run in found), 4) for way in ways}
    print(json.dumps({"runs": len(found), "behind_the_oracle": behind}))


if __name__ == "__main__":
    main()
