"""What it costs to write down how a run goes: logging in the training thread, and looks at the embedding.

    python benchmarks/tracking.py [--quick] [--data DATA] [--domains tabular,graphs]

Logging: a model of one linear layer is pretrained in turns with a bare loop (see `engine.py`); what is reported is the
CPU time of the training thread alone, since a thread of its own writes to MLflow. Monitors: each domain's demo is pretrained by
its recipe for a few steps without any, then the collapse watch, and the recipe's own evaluations, are run on its encoder. Their
share is their CPU time over the time of the steps between two of them, at the rhythm that the recipe as it is shipped
has. With `--data` (or `MANYVIEWS_DATA`) the demos are those on real data. The last line is a JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import numpy as np
import torch
from _in_turns import NEVER, run_in_turns
from _tiny import install

from manyviews.demo import prepare_demo
from manyviews.engine.collapse import CollapseWatch
from manyviews.engine.load import load_trained
from manyviews.engine.parts import build_sets, build_source, build_tasks, build_terms
from manyviews.engine.pretrain import pretrain
from manyviews.engine.trainer import Trainer
from manyviews.evaluate.sets import OnlineSets
from manyviews.recipe.load import load_recipe
from manyviews.track.journal import Journal
from manyviews.track.noise import quiet

GOAL_US, GOAL_SHARE = 20.0, 0.03
DOMAINS = ("tabular", "graphs", "speech", "satellite", "medical")
SILENT: dict[str, Any] = {"train": {"log_every": NEVER, "watch_every": NEVER}, "track": None}
LOGGED: dict[str, dict[str, Any]] = {
    "metrics every 50 steps, as by default": {"train": {"watch_every": NEVER}},
    "metrics every 10 steps": {"train": {"log_every": 10, "watch_every": NEVER}},
    "metrics every step": {"train": {"log_every": 1, "watch_every": NEVER}},
}
DEFAULT = next(iter(LOGGED))


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1 pair of 500 steps, and 6 steps of each domain's recipe")
    parser.add_argument("--data", help="Real data for the demos that have some")
    parser.add_argument("--domains", default=",".join(DOMAINS))
    options = parser.parse_args()
    if options.data is not None:
        os.environ["MANYVIEWS_DATA"] = options.data
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the progress bar's and MLflow's own
    pairs, steps = (1, 500) if options.quick else (5, 3000)
    with tempfile.TemporaryDirectory() as folder, quiet():
        call = journal_us(Path(folder), 500 if options.quick else 20_000)
        logged = logging_us(Path(folder), pairs, steps)
        shares = {}
        for domain in options.domains.split(","):
            shares[domain] = monitors(domain, Path(folder) / domain, 6 if options.quick else 40)
            print(domain, json.dumps(shares[domain]), flush=True)
        os.chdir("/")
    print(f"a line of 8 metrics in the journal takes {call:.1f} us; logging adds to a step, in its thread,")
    for name, value in logged.items():
        print(f"  {name:<40}{value:>7.1f} us")
    watch = max(one["watch_share"] for one in shares.values())
    print(
        json.dumps(
            {
                "journal_line_us": round(call, 1),
                "logging_us_a_step": {name: round(value, 1) for name, value in logged.items()},
                "goal_us": GOAL_US,
                "logging_met": logged[DEFAULT] <= GOAL_US,
                "monitors": shares,
                "goal_share": GOAL_SHARE,
                "watch_met": watch <= GOAL_SHARE,
                "evaluation_met": max(one["evaluation_share"] for one in shares.values()) <= GOAL_SHARE,
            }
        )
    )


def journal_us(folder: Path, lines: int) -> float:
    """Of one line of eight metrics, on the caller's thread."""
    metrics = {f"train/metric_{number}": number / 7 for number in range(8)}
    with Journal(folder) as journal:
        begun = time.thread_time()
        for step in range(lines):
            journal.log(step, metrics)
        return 1e6 * (time.thread_time() - begun) / lines


def logging_us(folder: Path, pairs: int, steps: int) -> dict[str, float]:
    """What logging adds to a step in the training thread: each rhythm beside a run that logs nothing, median over pairs."""
    install(folder)
    sys.path.insert(0, str(folder))
    os.chdir(folder)  # MLflow puts its store and artifacts into the working directory
    added: dict[str, list[float]] = {name: [] for name in LOGGED}
    for _ in range(pairs):
        silent = run_in_turns(SILENT, steps).own_us()
        for name, layers in LOGGED.items():
            added[name].append(run_in_turns(layers, steps).own_us() - silent)
    return {name: median(values) for name, values in added.items()}


def monitors(domain: str, folder: Path, steps: int) -> dict[str, Any]:
    """A step, the watch and the evaluations of a domain's demo: CPU milliseconds, and their shares."""
    folder.mkdir()
    demo = prepare_demo(domain, folder)
    parts = {key: value for key, value in demo.overrides.items() if key not in ("train", "evaluate")}
    size = {key: value for key, value in demo.overrides["train"].items() if key in ("batch_size", "batch_total")}
    shipped = load_recipe(demo.recipe, {**parts, "train": {**size, "threads": 1, "device": "cpu", "folder": str(folder)}})
    train = shipped.train.model_copy(
        update={"steps": steps, "epochs": None, "watch_every": NEVER, "log_every": NEVER, "checkpoint_every": None}
    )
    alone = shipped.model_copy(update={"train": train, "evaluate": [], "track": None})
    run, step = _training(lambda: pretrain(alone).folder)
    encoder, source = load_trained(run, device="cpu").encoder, build_source(shipped)
    chosen = np.flatnonzero(source.splits() == "train")[: train.batch_size]
    batch = source.batch(chosen)
    watch = _seconds(lambda: CollapseWatch().look(encoder, batch))
    views = build_terms(shipped, source.spec)[0].views
    share, evaluated = 0.0, 0.0
    planned = [item for item in build_tasks(shipped) if item.every is not None]
    for every in {item.every for item in planned}:
        together = [item for item in planned if item.every == every]
        sets = OnlineSets.of(together, build_sets(shipped, source), unit=shipped.unit, seed=0, views=views)
        sets(encoder, 0, last=True)  # tokens are counted once a run
        took = _seconds(lambda sets=sets: sets(encoder, 0, last=True))
        evaluated += took
        share += took / (every * step / steps)
    return {
        "recipe": demo.recipe,
        "step_ms": round(1e3 * step / steps, 2),
        "watch_ms": round(1e3 * watch, 2),
        "watch_share": round(watch / (shipped.train.watch_every * step / steps), 5),
        "evaluation_ms": round(1e3 * evaluated, 1),
        "evaluation_share": round(share, 5),
        "tasks": {item.name: item.every for item in planned},
    }


def _training(work: Callable[[], Path]) -> tuple[Path, float]:
    """The run's folder, and the CPU seconds of its loop alone."""
    train, spent = Trainer.train, []

    def timed(self: Trainer, *words: Any) -> Any:
        begun = time.process_time()
        try:
            return train(self, *words)
        finally:
            spent.append(time.process_time() - begun)

    with mock.patch.object(Trainer, "train", timed):
        return work(), spent[0]


def _seconds(work: Callable[[], object], times: int = 3) -> float:
    """CPU seconds, the median of a few."""
    found = []
    for _ in range(times):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return median(found)


if __name__ == "__main__":
    main()
