"""What the engine adds to a bare loop, in CPU microseconds a step; the last line is a JSON object.

    python benchmarks/engine.py [--quick]

A model of one linear layer is pretrained by `manyviews.pretrain`, from its first line to
its last. A bare loop with the same batches, model, views, objective, optimiser and schedules runs in turns with it:
after every hundred steps of the engine a hundred of the loop, and only these are timed. What the engine adds to a turn in
its own thread is the median over turns, since each holds the same work and other programs disturb some; to that comes all
CPU time of other threads in the whole stretch, which is the writing to MLflow.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch
from _in_turns import NEVER, TURN, WARM, bare_loop, run_in_turns, tiny_recipe
from _measure import interleaved
from _tiny import Vectors, install
from lightning_fabric import Fabric

from manyviews.recipe.model import Recipe

GOAL_US = 60.0
LAYERS: dict[str, dict[str, Any]] = {
    "loop": {"train": {"log_every": NEVER, "watch_every": NEVER}, "track": None},
    "and journal, every 50 steps": {"train": {"watch_every": NEVER}, "track": None},
    "and collapse watch, every 100 steps": {"track": None},
    "and MLflow: all, as by default": {},
    "all, but metrics every 10 steps": {"train": {"log_every": 10}},
}
"""What is switched on, one thing after the other; `DEFAULT` is what a user gets."""
DEFAULT = "and MLflow: all, as by default"


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1 pair of 1,000 steps in place of 7 of 4,000")
    options = parser.parse_args()
    pairs, steps = (1, 1000) if options.quick else (7, 4000)
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the progress bar's and MLflow's own
    added: dict[str, list[float]] = {name: [] for name in LAYERS}
    bare: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder))
        sys.path.insert(0, folder)
        os.chdir(folder)  # MLflow puts its store and artifacts into the working directory
        for _ in range(pairs):
            for name, layers in LAYERS.items():
                turns = run_in_turns(layers, steps)
                bare.append(turns.bare_us())
                added[name].append(turns.added_us())
        fabric = _fabric_alone(tiny_recipe({}, WARM + steps + 1), steps)
        os.chdir("/")
    medians = {name: round(median(values), 1) for name, values in added.items()}
    print(f"a step of the bare loop takes {median(bare):,.0f} us of CPU; the engine adds")
    for name, value in medians.items():
        print(f"  {name:<40}{value:>7.1f} us a step   ({min(added[name]):.0f} to {max(added[name]):.0f})")
    print(f"  {'Fabric.setup alone, which is not used':<40}{fabric:>7.1f} us a step")
    result = {
        "bare_us": round(median(bare), 1),
        "added_us": medians,
        "fabric_us": round(fabric, 1),
        "goal_us": GOAL_US,
        "pairs": pairs,
        "steps": steps,
    }
    print(json.dumps(result | {"goal_met": medians[DEFAULT] <= GOAL_US}))


def _fabric_alone(recipe: Recipe, steps: int) -> float:
    """Microseconds that Lightning Fabric's own wrappers would add to a step of the bare loop; the engine does without them."""
    loops = {
        "bare": bare_loop(recipe, Vectors()),
        "fabric": bare_loop(recipe, Vectors(), Fabric(accelerator="cpu", devices=1)),
    }

    def turn(loop: Iterator[None]) -> None:
        for _ in range(TURN):
            next(loop)

    seconds = interleaved({name: lambda _, loop=loop: turn(loop) for name, loop in loops.items()}, steps // TURN)
    return 1e6 / TURN * median(two - one for one, two in zip(seconds["bare"], seconds["fabric"], strict=True))


if __name__ == "__main__":
    main()
