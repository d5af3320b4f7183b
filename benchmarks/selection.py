"""Which checkpoint of a run to take: the choice that label-free scores make, beside the one that labels would make.

    python benchmarks/selection.py --data DATA [--seeds 3] [--runs adult/t_jepa cora/dgi …] [--jobs 2] [--out runs.jsonl]
    python benchmarks/selection.py --quick

Each run keeps nine checkpoints, the first a ninth into it. Effective rank, LiDAR and uniformity are read on training units as
it goes (the last two where tokens of the views are aligned, since else no unit can be known again), a linear probe on the
validation units. Each picks a checkpoint; so do "the last", "the first", chance ("any", on average) and an oracle that sees the
test units. For each way to choose: the test score of a linear probe on the checkpoint that was picked, how far it stays behind
the oracle's (regret), and Spearman's rank correlation of its reading with the test score over the checkpoints. A run
is a process and a line in `--out`; one that has its line is not run again. Prints a table, and one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

import _pieces
import numpy as np
from _measure import shared_data

LOOKS = 9


@dataclass(frozen=True)
class Data:
    """A data set, and what a probe on it is judged by."""

    domain: str
    path: str
    metric: str
    target: str | None = None
    train: Mapping[str, Any] = field(default_factory=dict)
    """Length and batches of a run that a CPU has time for."""


DATA = {
    "adult": Data("tabular", "tabular/adult.csv", "auc", "income", {"steps": 360, "batch_size": 256}),
    "california_housing": Data(
        "tabular", "tabular/california_housing.csv", "r2", "median_house_value", {"steps": 360, "batch_size": 256}
    ),
    "telco_churn": Data("tabular", "tabular/telco_churn.csv", "auc", "Churn", {"steps": 360, "batch_size": 128}),
    "cora": Data("graphs", "graphs/planetoid/Cora", "accuracy", None, {"steps": 270}),
    "breast_cancer": Data("tabular", "breast_cancer.csv", "auc", "diagnosis", {"steps": 63, "batch_size": 64}),
}
RUNS = (
    "adult/t_jepa",
    "adult/masked_values",
    "adult/scarf",
    "adult/vime",
    "california_housing/masked_values",
    "california_housing/scarf",
    "telco_churn/t_jepa",
    "telco_churn/scarf",
    "cora/dgi",
    "cora/graphmae",
    "cora/grace",
)
QUICK = "breast_cancer/masked_values"
UNALIGNED = ("cora/dgi", "cora/graphmae")
"""Their views shuffle what tokens stand for, or hide some of them."""
READINGS = {
    "effective rank": ("eval/effective_rank/effective_rank", 1),
    "LiDAR": ("eval/lidar/lidar", 1),
    "uniformity": ("eval/alignment_uniformity/uniformity", -1),
}
LABELS = "labels (valid)"


def one_run(job: str, data: Path, seed: int) -> dict[str, Any]:
    """Of each way to choose: test score, and rank correlation where it reads something."""
    from manyviews.engine.choose import judge_checkpoints
    from manyviews.engine.pretrain import pretrain
    from manyviews.track.noise import quiet

    name, _, recipe = job.partition("/")
    about = DATA[name]
    every = about.train["steps"] // LOOKS
    path = data / about.path
    split = path.with_name(f"{path.stem}_split.csv")
    tasks: list[dict[str, Any]] = [{"task": "linear_probe", "every": every}, {"task": "effective_rank", "every": every}]
    if job not in UNALIGNED:
        tasks += [
            {"task": "lidar", "every": every, "views": 6, "max_units": 500},
            {"task": "alignment_uniformity", "every": every},
        ]
    with tempfile.TemporaryDirectory() as folder, quiet():
        run = pretrain(
            f"{about.domain}/{recipe}",
            data={
                "path": str(path),
                **({"target": about.target} if about.target else {}),
                **({"splits": str(split)} if split.is_file() else {}),
            },
            evaluate=tasks,
            train={
                **about.train,
                "epochs": None,
                "checkpoint_every": every,
                "keep_checkpoints": LOOKS + 1,
                "seed": seed,
                "device": "cpu",
                "threads": 1,
                "folder": folder,
            },
            track=None,
        )
        judged = judge_checkpoints(run.folder, tasks=("linear_probe",), max_units=2000, device="cpu")
        test = {int(row.representation[5:]): row.scores.metrics[about.metric] for row in judged.rows}
        readings: dict[str, dict[int, float]] = {}
        for entry in run.metrics():
            for key, value in entry.metrics.items():
                readings.setdefault(key, {})[entry.step] = value
    return chosen(test, readings, f"eval/linear_probe/{about.metric}")


def chosen(test: Mapping[int, float], readings: Mapping[str, Mapping[int, float]], labels: str) -> dict[str, Any]:
    """Way -> test score of its choice, and of those that read something how their readings go with the test score."""
    ways = {way: at for way, at in {**READINGS, LABELS: (labels, 1)}.items() if at[0] in readings}
    steps = sorted(test)
    scores = {way: [sign * readings[name][step] for step in steps] for way, (name, sign) in ways.items()}
    truth = [test[step] for step in steps]
    return {
        "picked": {
            **{way: truth[int(np.argmax(score))] for way, score in scores.items()},
            "last": truth[-1],
            "first": truth[0],
            "any": mean(truth),
            "oracle": max(truth),
        },
        "spread": max(truth) - min(truth),
        "rho": {way: rank_correlation(score, truth) for way, score in scores.items()},
    }


def rank_correlation(one: Sequence[float], two: Sequence[float]) -> float | None:
    """Spearman's; None where one of them is constant."""
    from scipy.stats import rankdata

    ranks = [rankdata(values) for values in (one, two)]
    if any(np.ptp(each) == 0 for each in ranks):
        return None
    return float(np.corrcoef(*ranks)[0, 1])


def quick_data(folder: Path) -> Path:
    """A small table that is always there."""
    from sklearn.datasets import load_breast_cancer

    frame = load_breast_cancer(as_frame=True).frame.rename(columns={"target": "diagnosis"})
    frame["diagnosis"] = frame["diagnosis"].map({0: "malignant", 1: "benign"})
    frame.to_csv(folder / "breast_cancer.csv", index=False)
    return folder


def summary(found: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Way -> mean regret, the share of what there was to lose, the mean rank correlation."""
    told: dict[str, dict[str, float]] = {}
    for way in (*READINGS, LABELS, "last", "first", "any"):
        having = [run for run in found if way in run["picked"]]
        if not having:
            continue
        lost = [run["picked"]["oracle"] - run["picked"][way] for run in having]
        shares = [each / run["spread"] for each, run in zip(lost, having, strict=True) if run["spread"]]
        rhos = [rho for run in having if (rho := run["rho"].get(way)) is not None]
        told[way] = {
            "regret": round(mean(lost), 4),
            "of_spread": round(mean(shares), 3) if shares else math.nan,
            **({"rho": round(mean(rhos), 2)} if rhos else {}),
        }
    return told


def text(found: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table: a row a job, regret and rank correlation of each way, means over seeds."""
    by_run: dict[str, list[Mapping[str, Any]]] = {}
    for run in found:
        by_run.setdefault(run["run"], []).append(run)
    rows = {job: summary(runs) for job, runs in by_run.items()} | {"all": summary(found)}
    ways = list(rows["all"])
    lines = [f"| run | best to worst | {' | '.join(ways)} |", "|---|--:|" + "--:|" * len(ways)]
    for job, row in rows.items():
        spread = mean(run["spread"] for run in by_run.get(job, found))
        cells = [_cell(row[way]) if way in row else "" for way in ways]
        lines.append(f"| {job} | {spread:.4f} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(told: Mapping[str, float]) -> str:
    return f"{told['regret']:.4f}" + (f" ({told['rho']:+.2f})" if "rho" in told else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=shared_data())
    parser.add_argument("--runs", nargs="+", default=list(RUNS), choices=[*RUNS, QUICK], metavar="DATA/RECIPE")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--out", type=Path, default=Path("selection.jsonl"), help="JSON, a line a run")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.job:
        print(json.dumps(one_run(given.job[0], given.data, int(given.job[1]))))
        return
    with tempfile.TemporaryDirectory() as place:
        if given.quick:
            given.data, given.runs, given.seeds, given.out = quick_data(Path(place)), [QUICK], 1, Path(place) / "out.jsonl"
        wanted = [(name, seed) for seed in range(given.seeds) for name in given.runs]
        lines = _pieces.run(
            wanted, lambda job: ["--job", *map(str, job), "--data", str(given.data)], given.out, jobs=given.jobs
        )
    found = [{"run": line["job"][0], **line["records"]} for line in lines if "records" in line]
    print(text(found))
    told = {"runs": len(found), "ways": summary(found)}
    print(json.dumps({"errors": [line for line in lines if "error" in line], **told}))


if __name__ == "__main__":
    main()
