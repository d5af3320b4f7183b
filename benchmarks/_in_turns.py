"""The engine's run of a model that costs next to nothing, in turns with a bare loop of the same work."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from _tiny import Vectors
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

TURN, WARM, BATCH = 100, 200, 16
NEVER = 10**9


class InTurns(Source):
    """A source that does a hundred bare steps before every hundredth of its batches, and keeps the time of both."""

    def __init__(self, source: Source, bare: Iterator[None], steps: int) -> None:
        self.source, self.bare, self.spec, self.last = source, bare, source.spec, WARM + steps
        self.step = -1  # the engine asks for one batch before it begins
        self.bare_turns: list[float] = []
        self.turns: list[float] = []
        self.others = 0.0
        """CPU seconds of other threads in the whole stretch."""
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

    def own_us(self) -> float:
        """Microseconds that the engine adds to a step in its own thread."""
        assert len(self.turns) == len(self.bare_turns) > 0, "the stretch that is measured was run to its end"
        return 1e6 / TURN * median(turn - bare for turn, bare in zip(self.turns, self.bare_turns, strict=True))

    def added_us(self) -> float:
        """The same and all CPU time of other threads."""
        return self.own_us() + 1e6 / TURN * self.others / len(self.turns)

    def __len__(self) -> int:
        return len(self.source)

    def fingerprint(self) -> Mapping[str, Any]:
        return self.source.fingerprint()


def run_in_turns(layers: Mapping[str, Any], steps: int) -> InTurns:
    """One run of the engine in turns with the bare loop."""
    recipe = tiny_recipe(layers, WARM + steps + 1)
    source = Vectors()
    turns = InTurns(source, bare_loop(recipe, source), steps)
    pretrain(recipe, source=turns)
    return turns


def tiny_recipe(layers: Mapping[str, Any], steps: int) -> Recipe:
    """Everything into the working directory."""
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


def bare_loop(recipe: Recipe, source: Source, fabric: Fabric | None = None) -> Iterator[None]:
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
