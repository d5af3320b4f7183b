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
import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean, stdev
from threading import Condition, Thread
from typing import Any, Literal

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


@dataclass
class Works:
    """What does one job after the other; imports, device and volumes are its own."""

    arguments: argparse.Namespace
    kept: dict[str, Any] = field(default_factory=dict)

    def do(self, job: Job) -> Line:
        """A line of results."""
        began = time.monotonic()
        made = self._fit(job) if job.labels else {"run": str(self._pretrained(job.run, self._steps(job.recipe)))}
        return {**made, "seconds": round(time.monotonic() - began, 1)}

    def _steps(self, recipe: str) -> int:
        return self.arguments.pretrain_steps or RECIPES[recipe]

    def _pretrained(self, name: str, steps: int) -> Path:
        """The run's folder."""
        import manyviews as mv

        recipe = name.removesuffix("-bare")
        train = {"steps": steps, "epochs": None, "seed": 0, **self._common()}
        # Of several workers that need a bare run at once each makes its own.
        folder = self.arguments.work / (name if name == recipe else f"{name}-{os.getpid()}")
        sections: dict[str, Any] = {
            "data": data_of(self.arguments),
            "encoder": encoder_of(recipe, self.arguments),
            "train": train,
        }
        sections |= {"evaluate": [], "track": None}
        return mv.pretrain(f"medical/{recipe}", source=self._source(recipe), folder=folder, **sections).folder

    def _source(self, recipe: str) -> Any:
        """All volumes, opened once; the first worker prepares them for all."""
        if "source" not in self.kept:
            from manyviews.engine.parts import build_source
            from manyviews.recipe.load import load_recipe

            with (self.arguments.work / "preparing").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self.kept["source"] = build_source(load_recipe(f"medical/{recipe}", {"data": data_of(self.arguments)}))
        return self.kept["source"]

    def _fit(self, job: Job) -> Line:
        """One case of what `mv.finetune` does."""
        from manyviews.engine.processes import launch, make_fabric
        from manyviews.engine.run import Run
        from manyviews.engine.surroundings import own_generators, own_settings
        from manyviews.finetuning.budget import draw_labels
        from manyviews.finetuning.fit import Case, fit
        from manyviews.finetuning.results import read_result
        from manyviews.finetuning.work import Work
        from manyviews.recipe.finetune import load_finetune

        if job.arm == "from scratch" and job.run not in self.kept:
            self.kept[job.run] = self._pretrained(job.run, 1)
        steps = self.arguments.finetune_steps
        sections = {
            "task": {"name": "medical/segmentation", "surface": False},
            "labels": [job.labels],
            "choose": "last",
            "every": steps,
            "optim": {"lr": job.rate},
            "train": {"steps": steps, "batch_size": 4, **self._common()},
            "track": None,
        }
        settings, over = load_finetune(str(self.kept.get(job.run, self.arguments.work / job.run)), None, sections)
        with own_settings(settings.train):
            fabric = make_fabric(settings.train)
            with own_generators(fabric.device):
                work = Work.of(settings, over, self._source(job.recipe))
                launch(fabric, settings.train)
                study = Run(Path(tempfile.mkdtemp(dir=self.arguments.work, prefix="fit-")))
                chosen = draw_labels(work.units, job.labels, job.subset)
                result = read_result(fit(fabric, work, Case(job.arm, job.labels, job.subset, job.seed), chosen, study).folder)
        assert result is not None
        return result

    def _common(self) -> Line:
        """Of both trainings."""
        given = self.arguments
        return {
            "device": given.device,
            "threads": 1,
            "watch_every": 1_000_000,
            "checkpoint_every": 1_000_000,
            "precision": given.precision or ("tf32" if given.device == "cuda" else "32"),
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


def serve(arguments: argparse.Namespace) -> None:
    """Jobs as lines of JSON on stdin, their results on stdout."""
    if arguments.device == "cuda":
        import torch

        torch.backends.cudnn.benchmark = True  # all batches are of one shape
    works, answers = Works(arguments), sys.stdout
    with redirect_stdout(sys.stderr):
        for words in sys.stdin:
            try:
                said = works.do(Job(**json.loads(words)))
            except Exception:
                said = {"error": traceback.format_exc().strip().splitlines()[-15:]}
            answers.write(json.dumps(said) + "\n")
            answers.flush()


# The study


class Worker:
    """A process that does jobs, one thread of a CPU each."""

    def __init__(self, arguments: argparse.Namespace, number: int) -> None:
        self.log = arguments.work / f"worker-{number}.log"
        words = [sys.executable, __file__, "--serve", "--data", str(arguments.data), "--work", str(arguments.work)]
        for name in ("device", "precision", "pretrain_steps", "finetune_steps", "channels"):
            words += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
        words += ["--quick"] if arguments.quick else []
        one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        with self.log.open("w") as log:
            pipe = subprocess.PIPE
            self.process = subprocess.Popen(words, env=os.environ | one, stdin=pipe, stdout=pipe, stderr=log, text=True)

    def ask(self, job: Job) -> Line:
        """What came of a job; an `error` where the process ended over it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(asdict(job)) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except OSError:
            answer = ""
        if answer:
            said: Line = json.loads(answer)
            return said
        return {"error": [f"exit status {self.process.wait()}", *self.log.read_text().strip().splitlines()[-15:]]}

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def end(self) -> None:
        """At once."""
        self.process.kill()
        self.process.wait()


@dataclass
class Study:
    """Which jobs there are, and what is known of them."""

    arguments: argparse.Namespace
    done: dict[Job, Line] = field(default_factory=dict)
    running: set[Job] = field(default_factory=set)
    changed: Condition = field(default_factory=Condition)
    over: bool = False

    def __post_init__(self) -> None:
        """Fits that the file has are done; errors are tried again, and pretrainings that are no longer there."""
        lines = self.arguments.out.read_text().splitlines() if self.arguments.out.is_file() else []
        for line in map(json.loads, lines):
            if "error" not in line and (line["labels"] or (self.arguments.work / line["recipe"]).is_dir()):
                self.done[job_of(line)] = line

    def conduct(self) -> list[Line]:
        """All jobs, until the time is up."""
        threads = [Thread(target=self._serve, args=(number,)) for number in range(self.arguments.jobs)]
        self.workers: dict[int, Worker] = {}
        for thread in threads:
            thread.start()
        end = self.arguments.began + self.arguments.within
        for thread in threads:
            thread.join(max(end - time.monotonic(), 0.0))
        with self.changed:
            self.over = True
            self.changed.notify_all()
            for worker in self.workers.values():
                worker.end()
        for thread in threads:
            thread.join()
        return list(self.done.values())

    def _serve(self, number: int) -> None:
        """One worker's jobs; another takes the place of one that fell."""
        while (job := self._next()) is not None:
            with self.changed:
                if self.over:
                    return
                if number not in self.workers or not self.workers[number].alive:
                    self.workers[number] = Worker(self.arguments, number)
            said = self.workers[number].ask(job)
            with self.changed:
                self.running.discard(job)
                if not (self.over and "error" in said):
                    self._keep(job, said)
                self.changed.notify_all()

    def _next(self) -> Job | None:
        """The first job that nobody does; waits while others may yet make some possible. None: there is no more to do."""
        with self.changed:
            while not self.over:
                job = next((job for job in self.plan() if job not in self.done and job not in self.running), None)
                if job is not None:
                    self.running.add(job)
                    return job
                if not self.running:
                    return None
                self.changed.wait()
        return None

    def _keep(self, job: Job, said: Line) -> None:
        line = {**asdict(job), **said}
        self.done[job] = line
        with self.arguments.out.open("a") as file:
            file.write(json.dumps(line) + "\n")
        score = f"{said['test']['dice']:.4f}" if "test" in said else ""
        told = "\n".join(said["error"]) if "error" in said else f"{score} {said['seconds']} s"
        print(f"{time.monotonic() - self.arguments.began:5.0f} s  {job}: {told}", file=sys.stderr, flush=True)

    def plan(self) -> Iterator[Job]:
        """Jobs that could be done now, in the order in which they are wanted."""
        given = self.arguments
        cells = [(name, labels) for labels in given.labels for name in given.recipes]
        cells.sort(key=lambda cell: PLAN.index(cell) if cell in PLAN else len(PLAN))
        wanted = list(dict.fromkeys(name for name, _ in cells))
        yield from (Job(name) for name in wanted[:2])
        for name, labels in cells:
            yield Job(name)
            yield from self._fits(name, labels, "from scratch")
            if "run" in self.done.get(Job(name), {}):
                yield from self._fits(name, labels, "pretrained")

    def _fits(self, name: str, labels: int, arm: Arm) -> Iterator[Job]:
        given = self.arguments
        owner = SCRATCH[name] if arm == "from scratch" else name
        rates: tuple[float, ...] = RATES[name]
        if labels > min(given.labels):
            tried = list(self._fits(name, min(given.labels), arm))
            if not all(job in self.done for job in tried):
                return
            best = chosen([self.done[job] for job in tried])
            rates = () if best is None else (best,)
        for seed in range(given.seeds):
            for subset in range(given.subsets):
                yield from (Job(owner, labels, arm, subset, seed, rate) for rate in rates)


def job_of(line: Mapping[str, Any]) -> Job:
    """The job that a line is about."""
    return Job(*(line[name] for name in Job.__dataclass_fields__))


def chosen(fits: list[Line]) -> float | None:
    """The rate that is best on the validation volumes, by the draws and seeds that all rates have; None: there are none."""
    values: dict[float, dict[tuple[int, int], float]] = defaultdict(dict)
    for fit in fits:
        if "valid" in fit:
            values[fit["rate"]][fit["subset"], fit["seed"]] = fit["valid"]["dice"]
    common = set.intersection(*map(set, values.values())) if values else set()
    return max(values, key=lambda rate: mean(values[rate][pair] for pair in common)) if common else None


def summary(done: list[Line]) -> dict[str, Any]:
    """Mean test Dice by recipe, arm and budget, and the gain pair by pair (same labels, same seed)."""
    fits: dict[tuple[str, str, int], list[Line]] = defaultdict(list)
    for fit in done:
        if "test" in fit:
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
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.began = time.monotonic()
    if given.quick and not given.serve:
        given.recipes, given.labels, given.subsets, given.seeds = ["volume_fusion"], [4], 1, 1
        given.pretrain_steps, given.finetune_steps = 5, 5
    return given


def main() -> None:
    """Runs the study, or serves it as one of its workers."""
    given = arguments_given()
    if given.serve:
        serve(given)
        return
    if not given.data.is_dir():
        print(json.dumps({"benchmark": "medical_accuracy", "skipped": f"no data at {given.data}"}))
        return
    with tempfile.TemporaryDirectory() as place:
        given.work = (given.work or Path(place)).resolve()
        given.out = given.out or Path(place) / "results.jsonl"
        given.work.mkdir(parents=True, exist_ok=True)
        given.out.parent.mkdir(parents=True, exist_ok=True)
        done = Study(given).conduct()
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
