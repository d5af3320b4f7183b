"""What pretraining brings to segmentation with few labels: hippocampus (MSD Task04), 4, 8 and 16 labelled volumes.

    python benchmarks/medical_accuracy.py --data DATA/medical/msd_hippocampus --out results.jsonl --device cuda --jobs 6
    python benchmarks/medical_accuracy.py --quick

Each recipe is pretrained on the training volumes (70%) without labels; then its encoder is finetuned with few labelled
volumes beside the same encoder from scratch: the same labels, steps, augmentation and head. With 4 volumes each arm is
trained at every learning rate, and has the one that does best on a tenth of the volumes held out for that, with more volumes
too. Reported is Dice on the last fifth, at the files' own spacing, by the last step: nothing was chosen on them.

`--jobs` processes, which stay, do one fit after the other; what comes first in `PLAN` is done first, so that a study that is
ended after `--within` seconds has whole comparisons. A line is written for each fit when it ends, and a line that is there is
not made again. Prints a Markdown table and, as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Literal

import _pieces
from _measure import shared_data

RECIPES = {"volume_fusion": 1200, "mae": 3000, "simclr": 800}
"""Recipe -> steps of pretraining."""
RATES = {"volume_fusion": (1e-3, 4e-3), "simclr": (1e-3, 4e-3), "mae": (3e-4, 1e-3)}
"""Learning rates that are tried."""
SCRATCH = {"volume_fusion": "volume_fusion", "simclr": "volume_fusion", "mae": "mae"}
"""Recipe -> the one whose fits from scratch are its own too, its encoder being the same."""
PLAN = [("volume_fusion", 4), ("simclr", 4), ("mae", 4), ("volume_fusion", 8), ("volume_fusion", 16), ("mae", 8)]
"""(Recipe, labelled volumes), the first first; others than these come last."""
GOAL = 0.02
"""Gain in mean Dice with 4 labelled volumes."""
Line = dict[str, Any]
"""What is known of a pretraining or of a fit."""
Arm = Literal["pretrained", "from scratch"]


@dataclass(frozen=True)
class Job:
    """A pretraining (of `labels` 0), or a fit."""

    recipe: str
    labels: int = 0
    arm: Arm = "pretrained"
    subset: int = 0
    seed: int = 0
    rate: float = 0.0

    @property
    def run(self) -> str:
        """The pretraining that it begins with; a fit from scratch needs no more of it than what the encoder is."""
        return self.recipe if self.arm == "pretrained" else f"{self.recipe}-bare"


# What a worker does


KEPT: dict[str, Any] = {}
"""What a process has opened or made: the volumes, runs without pretraining."""


def do(job: Job, arguments: argparse.Namespace) -> Line:
    """Records of a job."""
    began = time.monotonic()
    steps = arguments.pretrain_steps or RECIPES[job.recipe]
    made = fitted(job, arguments) if job.labels else {"run": str(pretrained(job.run, steps, arguments))}
    return {**made, "seconds": round(time.monotonic() - began, 1)}


def pretrained(name: str, steps: int, arguments: argparse.Namespace) -> Path:
    """The run's folder."""
    import manyviews as mv

    recipe = name.removesuffix("-bare")
    # Of several processes that need a bare run at once each makes its own.
    folder = arguments.work / (name if name == recipe else f"{name}-{os.getpid()}")
    return mv.pretrain(
        f"medical/{recipe}",
        source=source(recipe, arguments),
        folder=folder,
        data=data_of(arguments),
        encoder=encoder_of(recipe, arguments),
        train={"steps": steps, "epochs": None, "seed": 0, **common(arguments)},
        evaluate=[],
        track=None,
    ).folder


def source(recipe: str, arguments: argparse.Namespace) -> Any:
    """All volumes, opened once; the first process prepares them for all."""
    if "source" not in KEPT:
        from filelock import FileLock

        from manyviews.engine.parts import build_source
        from manyviews.recipe.load import load_recipe

        if arguments.device == "cuda":
            import torch

            torch.backends.cudnn.benchmark = True  # all batches are of one shape
        with FileLock(arguments.work / "preparing"):
            KEPT["source"] = build_source(load_recipe(f"medical/{recipe}", {"data": data_of(arguments)}))
    return KEPT["source"]


def fitted(job: Job, arguments: argparse.Namespace) -> Line:
    """One case of what `mv.finetune` does."""
    from manyviews.engine.processes import launch, make_fabric
    from manyviews.engine.run import Run
    from manyviews.engine.surroundings import own_generators, own_settings
    from manyviews.finetuning.budget import draw_labels
    from manyviews.finetuning.fit import Case, fit
    from manyviews.finetuning.results import read_result
    from manyviews.finetuning.work import Work
    from manyviews.recipe.finetune import load_finetune

    if job.arm == "from scratch" and job.run not in KEPT:
        KEPT[job.run] = pretrained(job.run, 1, arguments)
    steps = arguments.finetune_steps
    sections = {
        "task": {"name": "medical/segmentation", "surface": False},
        "labels": [job.labels],
        "choose": "last",
        "every": steps,
        "optim": {"lr": job.rate},
        "train": {"steps": steps, "batch_size": 4, **common(arguments)},
        "track": None,
    }
    settings, over = load_finetune(str(KEPT.get(job.run, arguments.work / job.run)), None, sections)
    with own_settings(settings.train):
        fabric = make_fabric(settings.train)
        with own_generators(fabric.device):
            work = Work.of(settings, over, source(job.recipe, arguments))
            launch(fabric, settings.train)
            study = Run(Path(tempfile.mkdtemp(dir=arguments.work, prefix="fit-")))
            chosen = draw_labels(work.units, job.labels, job.subset)
            result = read_result(fit(fabric, work, Case(job.arm, job.labels, job.subset, job.seed), chosen, study).folder)
    assert result is not None
    return result


def common(arguments: argparse.Namespace) -> Line:
    """Of both trainings."""
    return {
        "device": arguments.device,
        "threads": 1,
        "watch_every": 1_000_000,
        "checkpoint_every": 1_000_000,
        "precision": arguments.precision or ("tf32" if arguments.device == "cuda" else "32"),
    }


def data_of(arguments: argparse.Namespace) -> Line:
    """Whole volumes nearly, since these are small; each is of a patient of its own."""
    crop = [16, 24, 16] if arguments.quick else [40, 56, 40]
    cache = str(arguments.work / "cache")
    return {"path": str(arguments.data), "crop": crop, "crops": 4, "splits": {"valid": 0.1, "test": 0.2}, "cache": cache}


def encoder_of(recipe: str, arguments: argparse.Namespace) -> Line:
    """The recipe's own; at `--quick` a small one."""
    if not arguments.quick:
        return {"channels": arguments.channels} if recipe != "mae" and arguments.channels else {}
    return {"channels": 4} if recipe != "mae" else {"width": 48, "depth": 2, "heads": 2}


# The study


def plan(lines: Sequence[Line], given: argparse.Namespace) -> Iterator[Job]:
    """Jobs that could be done now, in the order in which they are wanted."""
    done = {job_of(line): line for line in lines}
    cells = [(name, labels) for labels in given.labels for name in given.recipes]
    cells.sort(key=lambda cell: PLAN.index(cell) if cell in PLAN else len(PLAN))
    wanted = list(dict.fromkeys(name for name, _ in cells))
    yield from (Job(name) for name in wanted[:2])
    for name, labels in cells:
        yield Job(name)
        yield from _fits(done, name, labels, "from scratch", given)
        if "records" in done.get(Job(name), {}):
            yield from _fits(done, name, labels, "pretrained", given)


def _fits(done: Mapping[Job, Line], name: str, labels: int, arm: Arm, given: argparse.Namespace) -> Iterator[Job]:
    owner = SCRATCH[name] if arm == "from scratch" else name
    rates: tuple[float, ...] = RATES[name]
    if labels > min(given.labels):
        tried = list(_fits(done, name, min(given.labels), arm, given))
        if not all(job in done for job in tried):
            return
        best = chosen([fit for job in tried for fit in fits_of([done[job]])])
        rates = () if best is None else (best,)
    for seed in range(given.seeds):
        for subset in range(given.subsets):
            yield from (Job(owner, labels, arm, subset, seed, rate) for rate in rates)


def job_of(line: Line) -> Job:
    """The job that a line is about."""
    return Job(**line["job"])


def fits_of(lines: Sequence[Line]) -> list[Line]:
    """Jobs and their results, of fits that ended well."""
    return [{**line["job"], **line["records"]} for line in lines if "records" in line and line["job"]["labels"]]


def chosen(fits: list[Line]) -> float | None:
    """The rate that is best on the validation volumes, by the draws and seeds that all rates have; None: there are none."""
    values: dict[float, dict[tuple[int, int], float]] = defaultdict(dict)
    for fit in fits:
        values[fit["rate"]][fit["subset"], fit["seed"]] = fit["valid"]["dice"]
    common = set.intersection(*map(set, values.values())) if values else set()
    return max(values, key=lambda rate: mean(values[rate][pair] for pair in common)) if common else None


def summary(lines: Sequence[Line]) -> dict[str, Any]:
    """Mean test Dice by recipe, arm and budget, and the gain pair by pair (same labels, same seed)."""
    fits: dict[tuple[str, str, int], list[Line]] = defaultdict(list)
    for fit in fits_of(lines):
        fits[fit["recipe"], fit["arm"], fit["labels"]].append(fit)
    rates = {key: chosen(found) for key, found in fits.items()}
    values = {
        key: {(fit["subset"], fit["seed"]): fit["test"]["dice"] for fit in found if fit["rate"] == rates[key]}
        for key, found in fits.items()
    }
    rows = {}
    for (name, arm, labels), found in sorted(values.items()):
        if arm != "pretrained" or not found:
            continue
        beside = (SCRATCH[name], "from scratch", labels)
        scratch = values.get(beside, {})
        pairs = [found[key] - scratch[key] for key in found if key in scratch]
        rows[f"{name}/{labels}"] = {
            "pretrained": round(mean(found.values()), 4),
            "scratch": round(mean(scratch.values()), 4) if scratch else None,
            "gain": round(mean(pairs), 4) if pairs else None,
            "gain_std": round(stdev(pairs), 4) if len(pairs) > 1 else None,
            "worst": round(min(pairs), 4) if pairs else None,
            "pairs": len(pairs),
            "rate": rates[name, arm, labels],
            "rate from scratch": rates.get(beside),
        }
    return rows


def arguments_given() -> argparse.Namespace:
    """The command line; `--quick` is small."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=shared_data("medical", "msd_hippocampus"))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--work", type=Path, help="folder of runs and cache; a temporary one where none is given")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="", help="of both trainings; default: tf32 on a GPU, else 32")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), choices=list(RECIPES))
    parser.add_argument("--labels", nargs="+", type=int, default=[4, 8, 16])
    parser.add_argument("--subsets", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--pretrain-steps", type=int, default=0, help="0: each recipe's own")
    parser.add_argument("--finetune-steps", type=int, default=250)
    parser.add_argument("--channels", type=int, default=0, help="of the U-Net; 0: the recipe's own")
    parser.add_argument("--within", type=float, default=86_400.0, help="seconds of all")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    if given.quick:
        given.recipes, given.labels, given.subsets, given.seeds = ["volume_fusion"], [4], 1, 1
        given.pretrain_steps, given.finetune_steps = 5, 5
    return given


def main() -> None:
    """Runs the study."""
    given = arguments_given()
    if not given.data.is_dir():
        print(json.dumps({"benchmark": "medical_accuracy", "skipped": f"no data at {given.data}"}))
        return
    with tempfile.TemporaryDirectory() as place:
        given.work = (given.work or Path(place)).resolve()
        given.out = given.out or Path(place) / "results.jsonl"
        given.work.mkdir(parents=True, exist_ok=True)
        given.out.parent.mkdir(parents=True, exist_ok=True)
        done = _pieces.conduct(
            lambda lines: plan(lines, given),
            partial(do, arguments=given),
            given.out,
            jobs=given.jobs,
            within=given.within,
            # A pretraining whose folder is gone is made again.
            still=lambda line: line["job"]["labels"] or (given.work / line["job"]["recipe"]).is_dir(),
        )
    rows = summary(done)
    print("| recipe / labelled volumes | pretrained | from scratch | gain | deviation | worst | pairs | rate | from scratch |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join("" if value is None else str(value) for value in row.values()) + " |")
    errors = [line for line in done if "error" in line]
    goal = rows.get("volume_fusion/4", {}).get("gain")
    met = None if goal is None or given.quick else goal >= GOAL
    told = {"benchmark": "medical_accuracy", "device": given.device, "rows": rows, "goal_met": met, "errors": errors}
    print(json.dumps(told))


if __name__ == "__main__":
    main()
