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
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from _measure import interleaved
from _tiny import Vectors, install
from jaxtyping import Int
from lightning_fabric import Fabric

from manyviews.batch import Batch
from manyviews.engine.learner import Step
from manyviews.engine.loader import Order
from manyviews.engine.model import Model
from manyviews.engine.optim import make_optimizer
from manyviews.engine.parts import build_encoder, build_terms
from manyviews.engine.pretrain import pretrain
from manyviews.engine.schedules import learning_rate, momentum
from manyviews.recipe.load import load_recipe
from manyviews.recipe.model import Recipe
from manyviews.source import Source

GOAL_US = 60.0
TURN, WARM, BATCH = 100, 200, 16
NEVER = 10**9
LAYERS: dict[str, dict[str, Any]] = {
    "loop": {"train": {"log_every": NEVER, "watch_every": NEVER}, "track": None},
    "and journal, every 50 steps": {"train": {"watch_every": NEVER}, "track": None},
    "and collapse watch, every 100 steps": {"track": None},
    "and MLflow: all, as by default": {},
    "all, but metrics every 10 steps": {"train": {"log_every": 10}},
}
"""What is switched on, one thing after the other; `DEFAULT` is what a user gets."""
DEFAULT = "and MLflow: all, as by default"


class InTurns(Source):
    """A source that does a hundred bare steps before every hundredth of its batches, and keeps the time of both."""

    def __init__(self, source: Source, bare: Iterator[None], steps: int) -> None:
        self.source, self.bare, self.spec, self.last = source, bare, source.spec, WARM + steps
        self.step = -1  # the engine asks for one batch before it begins
        self.bare_turns: list[float] = []
        self.turns: list[float] = []
        self.others = 0.0
        self._begun = self._begun_others = 0.0

    def batch(self, index: Int[np.ndarray, "samples"]) -> Batch:
        if WARM <= self.step <= self.last and self.step % TURN == 0:
            self._turn()
        self.step += 1
        return self.source.batch(index)

    def _turn(self) -> None:
        if self.step > WARM:
            self.turns.append(time.thread_time() - self._begun)
        if self.step == self.last:
            self.others = time.process_time() - time.thread_time() - self._begun_others
            return
        if self.step == WARM:
            self._begun_others = time.process_time() - time.thread_time()
        begun = time.thread_time()
        for _ in range(TURN):
            next(self.bare)
        self._begun = time.thread_time()
        self.bare_turns.append(self._begun - begun)

    def bare_us(self) -> float:
        """Microseconds of a bare step."""
        return 1e6 / TURN * median(self.bare_turns)

    def added_us(self) -> float:
        """Microseconds that the engine adds to a step."""
        assert len(self.turns) == len(self.bare_turns) > 0, "the stretch that is measured was run to its end"
        own = median(turn - bare for turn, bare in zip(self.turns, self.bare_turns, strict=True))
        return 1e6 / TURN * (own + self.others / len(self.turns))

    def __len__(self) -> int:
        return len(self.source)

    def fingerprint(self) -> Mapping[str, Any]:
        return self.source.fingerprint()


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
                turns = _run(layers, steps)
                bare.append(turns.bare_us())
                added[name].append(turns.added_us())
        fabric = _fabric_alone(_recipe({}, WARM + steps + 1), steps)
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


def _run(layers: Mapping[str, Any], steps: int) -> InTurns:
    """One run of the engine in turns with the bare loop."""
    recipe = _recipe(layers, WARM + steps + 1)
    source = Vectors()
    turns = InTurns(source, _bare_loop(recipe, source), steps)
    pretrain(recipe, source=turns)
    return turns


def _recipe(layers: Mapping[str, Any], steps: int) -> Recipe:
    values = {
        "domain": "tiny",
        "data": {"source": "vectors"},
        "encoder": {"name": "linear"},
        "views": {"name": "noise"},
        "objective": {"name": "follow"},
        "optim": {"lr": 1e-4},
        "train": {"steps": steps, "batch_size": BATCH, "device": "cpu", "folder": str(Path.cwd() / "runs")},
        "track": {"uri": f"sqlite:///{Path.cwd() / 'mlflow.db'}", "log_model": False},
    }
    return load_recipe(values, layers)


def _fabric_alone(recipe: Recipe, steps: int) -> float:
    """Microseconds that Lightning Fabric's own wrappers would add to a step of the bare loop; the engine does without them."""
    loops = {
        "bare": _bare_loop(recipe, Vectors()),
        "fabric": _bare_loop(recipe, Vectors(), Fabric(accelerator="cpu", devices=1)),
    }

    def turn(loop: Iterator[None]) -> None:
        for _ in range(TURN):
            next(loop)

    seconds = interleaved({name: lambda _, loop=loop: turn(loop) for name, loop in loops.items()}, steps // TURN)
    return 1e6 / TURN * median(two - one for one, two in zip(seconds["bare"], seconds["fabric"], strict=True))


def _bare_loop(recipe: Recipe, source: Source, fabric: Fabric | None = None) -> Iterator[None]:
    """The work itself, and nothing else (but Fabric's wrappers, where given); a step each time it is asked."""
    train, optim, teacher = recipe.train, recipe.optim, recipe.teacher
    assert train.steps is not None
    torch.manual_seed(train.seed)
    model = Model(build_encoder(recipe, source.spec), build_terms(recipe, source.spec), recipe.unit)
    optimizer = make_optimizer(model, optim)
    whole, backward = model, torch.Tensor.backward
    if fabric is not None:
        whole, optimizer = fabric.setup(model, optimizer)
        backward = fabric.backward
    generator = torch.Generator()
    order = Order(np.arange(len(source)), train.batch_size, train.seed)
    warmup = round(optim.warmup * train.steps)
    for step, index in enumerate(order.batches(0, train.steps)):
        rate = learning_rate(
            step, train.steps, peak=optim.lr, final=optim.final_lr, warmup=warmup, decay=0, schedule=optim.schedule
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        generator.manual_seed(step)
        backward(whole(Step(source.batch(index), generator, lambda metrics: None)))
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        model.lead(momentum(teacher.momentum, teacher.final_momentum, step / train.steps, teacher.schedule))
        yield


if __name__ == "__main__":
    main()
