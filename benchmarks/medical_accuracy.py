"""What pretraining brings to segmentation with few labels: hippocampus (MSD Task04), 4, 8 and 16 labelled volumes.

    python benchmarks/medical_accuracy.py --data DATA/medical/msd_hippocampus --out results.jsonl --device cuda --jobs 6
    python benchmarks/medical_accuracy.py --quick

Each recipe is pretrained on the training volumes (70%) without labels; then its encoder is finetuned with few labelled
volumes beside the same encoder from scratch: the same labels, steps, augmentation and head. Each arm has the learning rate
that does best on a tenth of the volumes held out for that. Reported on the last fifth, at the files' own spacing, by the last
step: nothing was chosen on them. Pretraining comes first, one process a recipe; then a
process for each (recipe, seed, budget, rate), `--jobs` at a time, 4 labels first. A line is written for each fit within seconds
of its end, in whatever order they end, so a study that is killed has lost none of them; a process that has all its lines is not
run again. After `--within` seconds what still runs is ended, and the fits that it finished count. Prints a Markdown table and,
as its last line, one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from _measure import shared_data

RECIPES = {"volume_fusion": 1200, "mae": 3000, "simclr": 800}
"""Recipe -> steps of pretraining."""
GOAL = 0.02
"""Gain in mean Dice with 4 labelled volumes."""
UNET = {"volume_fusion", "simclr"}
"""Recipes of the same encoder, whose fits from scratch are the same ones."""
LOOK = 2.0
"""Seconds between two looks at which fits have ended."""
Job = tuple[str, int, int, float]
"""Recipe, labelled volumes, seed, learning rate."""
RATES = (1e-3, 4e-3), (3e-4, 1e-3)
"""Learning rates that are tried, of U-Nets and of Transformers."""


def pretrain(name: str, arguments: argparse.Namespace) -> None:
    """One recipe, on the training volumes."""
    import manyviews as mv

    train = {
        "steps": arguments.pretrain_steps or RECIPES[name],
        "epochs": None,
        "folder": str(arguments.work / name),
        "seed": 0,
    }
    train |= common(arguments)
    data = data_of(arguments)
    began, cpu = time.monotonic(), time.process_time()
    run = mv.pretrain(f"medical/{name}", data=data, encoder=encoder_of(name, arguments), train=train, evaluate=[], track=None)
    cost = {"seconds": round(time.monotonic() - began), "cpu_seconds": round(time.process_time() - cpu)}
    print(json.dumps({"run": str(run.folder), **cost}))


def finetune(job: Job, run: str, arguments: argparse.Namespace) -> None:
    """One recipe with so many labelled volumes: every subset, pretrained and, once for each encoder, from scratch."""
    import manyviews as mv

    (name, labels, seed, rate), steps = job, arguments.finetune_steps
    train = {"steps": steps, "batch_size": 4, "seed": seed, "checkpoint_every": 1_000_000, **common(arguments)}
    train |= {"folder": str(place_of(arguments, job))}
    mv.finetune(
        run,
        task={"name": "medical/segmentation"},
        data={"crops": 1},
        labels=[labels],
        subsets=arguments.subsets,
        scratch="from scratch" in arms_of(name),
        choose="last",
        every=steps,
        optim={"lr": rate},
        train=train,
        track=None,
    )
    print("{}")


def common(arguments: argparse.Namespace) -> dict[str, Any]:
    """Of both trainings."""
    precision = "tf32" if arguments.device == "cuda" else "32"
    return {"device": arguments.device, "threads": 1, "watch_every": 1_000_000, "precision": precision}


def arms_of(name: str) -> tuple[str, ...]:
    """What is finetuned for a recipe."""
    return ("pretrained",) if name in UNET and name != "volume_fusion" else ("pretrained", "from scratch")


def place_of(arguments: argparse.Namespace, job: Job) -> Path:
    """Where a job's fits are kept."""
    place: Path = arguments.fits / "-".join(map(str, job))
    return place


def data_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Whole volumes nearly, since these are small; each is of a patient of its own."""
    crop = [16, 24, 16] if arguments.quick else [40, 56, 40]
    cache = str(arguments.work / "cache")
    return {"path": str(arguments.data), "crop": crop, "crops": 4, "splits": {"valid": 0.1, "test": 0.2}, "cache": cache}


def encoder_of(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The recipe's own; at `--quick` a small one."""
    if not arguments.quick:
        return {"channels": arguments.channels} if name in UNET and arguments.channels else {}
    return {"channels": 4} if name in UNET else {"width": 48, "depth": 2, "heads": 2}


def in_its_own_process(arguments: argparse.Namespace, *job: str) -> dict[str, Any]:
    """With one thread; what went wrong is an `error` in the result."""
    words = [
        sys.executable,
        __file__,
        "--data",
        str(arguments.data),
        "--device",
        arguments.device,
        "--work",
        str(arguments.work),
        "--fits",
        str(arguments.fits),
    ]
    for name in ("pretrain_steps", "finetune_steps", "subsets", "channels"):
        words += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    words += [*(["--quick"] if arguments.quick else []), "--job", *job]
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    left = arguments.began + arguments.within - time.monotonic()
    try:
        done = subprocess.run(words, env=os.environ | one, capture_output=True, text=True, timeout=max(left, 0.1))
    except subprocess.TimeoutExpired:
        return {"error": [f"ended after {arguments.within:.0f} s of all"]}
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-15:]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def study(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """All of it; lines of the file are kept."""
    done = [json.loads(line) for line in arguments.out.read_text().splitlines()] if arguments.out.is_file() else []
    done = [fit for fit in done if "error" not in fit]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        said = pool.map(lambda name: in_its_own_process(arguments, name), arguments.recipes)
        runs = dict(zip(arguments.recipes, said, strict=True))
        for name, run in runs.items():
            print(name, run, file=sys.stderr, flush=True)
            done += [{"recipe": name, **run}] if "error" in run else []
        jobs = [
            (name, labels, seed, rate)
            for labels in arguments.labels
            for seed in range(arguments.seeds)
            for name in arguments.recipes
            for rate in RATES[name not in UNET]
        ]
        left = [job for job in jobs if "run" in runs[job[0]] and not complete(done, job, arguments.subsets)]
        fits = {pool.submit(in_its_own_process, arguments, *map(str, job), runs[job[0]]["run"]): job for job in left}
        pending = set(fits)
        while pending:
            ended, pending = wait(pending, timeout=LOOK)
            keep(arguments, done, [line for job in left for line in finished(arguments, job)], runs)
            keep(arguments, done, [error for future in ended for error in errors(future, fits[future])], runs)
    return done


def finished(arguments: argparse.Namespace, job: Job) -> list[dict[str, Any]]:
    """The fits that a job has finished so far."""
    name, labels, seed, rate = job
    found = sorted(place_of(arguments, job).glob("*/parts/*/result.json"))
    return [{"recipe": name, "labels": labels, **json.loads(path.read_text()), "seed": seed, "rate": rate} for path in found]


def errors(future: Future[dict[str, Any]], job: Job) -> list[dict[str, Any]]:
    """What ended a job before its time, if anything."""
    said = future.result()
    return [dict(zip(("recipe", "labels", "seed", "rate"), job, strict=True)) | said] if "error" in said else []


def keep(arguments: argparse.Namespace, done: list[dict[str, Any]], lines: list[dict[str, Any]], runs: dict[str, Any]) -> None:
    """Writes down what has no line yet."""
    known = {fit_of(line) for line in done}
    for line in lines:
        if fit_of(line) in known:
            continue
        done.append({**line, "pretraining": runs[line["recipe"]]})
        with arguments.out.open("a") as file:
            file.write(json.dumps(done[-1]) + "\n")


def fit_of(line: dict[str, Any]) -> tuple[Any, ...]:
    """Which fit a line is about; an error is about none, but of a job."""
    return tuple(line.get(key) for key in ("recipe", "labels", "seed", "rate", "arm", "subset"))


def complete(done: list[dict[str, Any]], job: Job, subsets: int) -> bool:
    """Whether each fit of a job has its line."""
    known = {fit_of(line) for line in done}
    return all((*job, arm, subset) in known for arm in arms_of(job[0]) for subset in range(subsets))


def summary(done: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean test Dice by recipe, arm and budget, each arm at the rate that is best on the validation volumes, and the gain pair
    by pair (same labels, same seed)."""
    tried: dict[tuple[str, str, int], dict[float, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for fit in done:
        if "test" in fit:
            tried[fit["recipe"], fit["arm"], fit["labels"]][fit["rate"]].append(fit)
    values, rates = {}, {}
    for key, by_rate in tried.items():
        chosen = {rate: {(fit["subset"], fit["seed"]): fit["valid"]["dice"] for fit in fits} for rate, fits in by_rate.items()}
        common = set.intersection(*map(set, chosen.values()))  # of a study that was ended, what all rates have
        if not common:
            continue
        rates[key] = max(chosen, key=lambda rate: mean(chosen[rate][pair] for pair in common))
        values[key] = {(fit["subset"], fit["seed"]): fit["test"]["dice"] for fit in by_rate[rates[key]]}
    rows = {}
    for (name, arm, labels), found in sorted(values.items()):
        if arm != "pretrained":
            continue
        beside = (name if "from scratch" in arms_of(name) else "volume_fusion", "from scratch", labels)
        scratch = values.get(beside, {})
        pairs = [found[key] - scratch[key] for key in found if key in scratch]
        rows[f"{name}/{labels}"] = {
            "pretrained": round(mean(found.values()), 4),
            "scratch": round(mean(scratch.values()), 4) if scratch else None,
            "gain": round(mean(pairs), 4) if pairs else None,
            "gain_std": round(stdev(pairs), 4) if len(pairs) > 1 else None,
            "worst": round(min(pairs), 4) if pairs else None,
            "fits": len(found),
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
    parser.add_argument("--job", nargs="+", help=argparse.SUPPRESS)
    parser.add_argument("--fits", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.began = time.monotonic()
    if given.quick and not given.job:
        given.recipes, given.labels, given.subsets, given.seeds = ["volume_fusion"], [4], 1, 1
        given.pretrain_steps, given.finetune_steps = 5, 5
    return given


def main() -> None:
    """Runs the study, or one of its jobs."""
    given = arguments_given()
    if given.job:
        name, *rest = given.job
        pretrain(name, given) if not rest else finetune((name, int(rest[0]), int(rest[1]), float(rest[2])), rest[3], given)
        return
    with tempfile.TemporaryDirectory() as place:
        given.work = given.work or Path(place)
        given.out = given.out or Path(place) / "results.jsonl"
        given.work.mkdir(parents=True, exist_ok=True)
        given.fits = Path(tempfile.mkdtemp(prefix="fits-", dir=given.work))
        if not given.data.is_dir():
            print(json.dumps({"benchmark": "medical_accuracy", "skipped": f"no data at {given.data}"}))
            return
        done = study(given)
        rows = summary(done)
    print("| recipe / labelled volumes | pretrained | from scratch | gain | deviation | worst | fits | rate | from scratch |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join("" if value is None else str(value) for value in row.values()) + " |")
    errors = [fit for fit in done if "error" in fit]
    goal = rows.get("volume_fusion/4", {}).get("gain")
    met = None if goal is None or given.quick else goal >= GOAL
    print(
        json.dumps({"benchmark": "medical_accuracy", "device": given.device, "rows": rows, "goal_met": met, "errors": errors})
    )


if __name__ == "__main__":
    main()
