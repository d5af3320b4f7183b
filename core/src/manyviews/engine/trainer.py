"""The loop. Everything that happens in a step happens here, in this order."""

from __future__ import annotations

import copy
import math
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from torch import Tensor

from manyviews.batch import Batch
from manyviews.engine import checkpoint, sharded
from manyviews.engine.best import Verdict
from manyviews.engine.collapse import CollapseWatch
from manyviews.engine.learner import Learner, Step
from manyviews.engine.load import load_into
from manyviews.engine.loader import Order, Reader, on_device, read
from manyviews.engine.mgda import MGDA
from manyviews.engine.optim import set_step
from manyviews.engine.pace import Pace
from manyviews.engine.progress import Progress
from manyviews.engine.signals import StopRequest
from manyviews.engine.surroundings import seeding
from manyviews.engine.window import Rows, Window
from manyviews.engine.wrapped import Wrapped
from manyviews.errors import UserError
from manyviews.recipe.model import Optim, Train

Report = Callable[[int, Mapping[str, float]], None]
"""Takes the metrics of a step (numbers, on the host)."""


@runtime_checkable
class Trainable(Protocol):
    """What of a recipe the loop goes by."""

    @property
    def train(self) -> Train:
        """The run itself."""
        ...

    @property
    def optim(self) -> Optim:
        """Optimiser and schedules."""
        ...


class Trainer:
    """Trains a learner on batches from `step` to `steps`.

    Args:
        fabric: Launched.
        recipe: How to train: a recipe, or a finetuning's settings.
        reader: Reads the samples of a batch.
        order: Which those are.
        model: What learns, on the CPU.
        steps: Of the whole run.
        mgda: Weighs the terms' gradients (`combine: mgda`); None: their sum is what counts.
    """

    def __init__(
        self,
        fabric: Fabric,
        recipe: Trainable,
        reader: Reader,
        order: Order,
        model: Learner,
        steps: int,
        mgda: MGDA | None = None,
    ) -> None:
        self.fabric, self.recipe, self.reader, self.order, self.plain = fabric, recipe, reader, order, model
        self.steps, self.step = steps, 0
        self.shown = model.encoder
        """The encoder, whole, for who looks at it: on the first process, as `gather` found it."""
        if recipe.train.strategy == "fsdp" and fabric.world_size > 1:
            self.shown = copy.deepcopy(model.encoder).to(fabric.device)
        self.wrapped = Wrapped(fabric, model, recipe.optim, recipe.train.accumulate)
        self.mgda = mgda
        self.generator, self.seed_dropout = torch.Generator(fabric.device), seeding(fabric.device)
        self.window = Window(self._mean_over_processes if fabric.world_size > 1 else None)
        self.norms, self.watch = Window(), CollapseWatch()  # norms are of averaged gradients, alike on all processes
        self.pace = Pace(fabric.world_size)

    def train(self, report: Report, evaluate: Callable[[int], Verdict], save: Callable[[], None]) -> signal.Signals | None:
        """Run to the end, until `evaluate` has seen enough, or to a signal, which is returned; the last step is saved."""
        train = self.recipe.train
        samples = train.batch_size * train.accumulate * self.fabric.world_size
        self.pace.start()
        with Progress(self.step, self.steps, samples, self._first) as bar, StopRequest() as stop:
            for batches in self._steps():
                self._step(batches)
                bar.step()
                done = self.step == self.steps or stop.heard(self.step)
                if self.step % train.log_every == 0 or self.step == self.steps:
                    self._read(report, bar)
                if self.plain.watched and (self.step == 1 or self.step % train.watch_every == 0):
                    self._look(batches[-1], report, bar)
                verdict = evaluate(self.step)
                if verdict == "end":
                    self.steps, done = self.step, True  # for good: a resumed run has ended too
                if done:
                    self.gather()
                if done or verdict == "keep" or (train.checkpoint_every and self.step % train.checkpoint_every == 0):
                    self._settle()
                    save()
                if done:
                    break
        return stop.signal if self.step < self.steps else None

    @property
    def _first(self) -> bool:
        return self.fabric.is_global_zero

    def _steps(self) -> Iterator[list[Batch]]:
        """The batches of each step that is left, on the device."""
        train, device = self.recipe.train, self.fabric.device
        start, stop = self.step * train.accumulate, self.steps * train.accumulate
        batches = self.pace.timed(on_device(read(self.reader, self.order, start, stop, train.workers), device))
        for _ in range(self.step, self.steps):
            yield [next(batches) for _ in range(train.accumulate)]

    def _step(self, batches: list[Batch]) -> None:
        """One update of the weights and of the teacher."""
        recipe = self.recipe
        set_step(self.wrapped.optimizer, recipe.optim, self.step, self.steps)
        self.plain.begin(self.step / self.steps)
        alone = batches if self.mgda else batches[:-1]  # MGDA brings the processes' gradients together itself
        for number, batch in enumerate(alone):
            with self.wrapped.alone():
                self._add_gradients(batch, number)
        if self.mgda is None:
            self._add_gradients(batches[-1], len(batches) - 1)
        measured = {} if self.mgda is None else dict(self.mgda.combine())
        if recipe.optim.clip is not None:
            measured["grad_norm"] = self.wrapped.clip(recipe.optim.clip)
        if measured:
            self.norms.add(measured)
        self.wrapped.update()
        self.plain.follow(self.step / self.steps)
        self.step += 1

    def _add_gradients(self, batch: Batch, number: int) -> None:
        """Of one batch. All chance in it is a function of (seed, batch, process): a resumed run has no state to restore."""
        train = self.recipe.train
        seed = mix(train.seed, self.step * train.accumulate + number, self.fabric.global_rank)
        self.generator.manual_seed(seed)
        self.seed_dropout(seed ^ 1)
        step = Step(batch, self.generator, self.window.add)
        loss = self.wrapped(step)
        if self.mgda is None:
            self.wrapped.backward(loss)
        else:
            self.mgda.backward(step.losses, self.wrapped.backward)

    def _read(self, report: Report, bar: Progress) -> None:
        """Take the means of the window from the device to the journal."""
        values = self.window.read() | self.norms.read()
        self._refuse_nan(values["loss"])
        values |= {"lr": self.wrapped.optimizer.param_groups[0]["lr"], **self.pace.read()}
        report(self.step, {f"train/{key}": value for key, value in values.items()})
        bar.show(self.step, values["loss"])

    def _mean_over_processes(self, rows: Rows) -> Rows:
        means = self.fabric.all_reduce(rows, reduce_op="mean")
        assert isinstance(means, Tensor)
        return means

    def _look(self, batch: Batch, report: Report, bar: Progress) -> None:
        """The collapse watch, on the batch just trained on."""
        self.gather()
        if self.wrapped.sharded and not self._first:
            return
        seen = self.watch.look(self.shown, batch)
        report(self.step, seen.metrics())
        sentence = self.watch.judge(seen)
        if sentence and self._first:
            bar.say(f"Warning, step {self.step}: {sentence}")

    def _refuse_nan(self, loss: float) -> None:
        """Before a NaN is saved or reported as if it were a result."""
        if not math.isfinite(loss):
            raise UserError(
                f"the loss is {loss} at step {self.step}; the run ends here and its last checkpoint is from before.\n"
                "Lower optim.lr, set optim.clip, or look at the data with `manyviews doctor`."
            )

    def _settle(self) -> None:
        """What all processes do before one of them saves: metrics are averaged, and nothing that is not finite is saved.

        The loss is of the weights before the step: a step that spoilt them shows in themselves.
        """
        self.norms.settle()
        parts = [sharded.own_part(p.detach()) for p in self.plain.encoder.parameters()]
        size = torch.stack(torch._foreach_norm(parts)).sum()
        if self.wrapped.sharded:
            dist.all_reduce(size)
        self._refuse_nan(self.window.peek().get("loss", 0.0) + 0.0 * float(size))

    def gather(self) -> None:
        """Bring `shown` up to date. By all processes at the same step."""
        if self.wrapped.sharded:
            sharded.fill(self.shown, self.plain.encoder)

    def weights(self) -> dict[str, Tensor]:
        """What a checkpoint's weights are. By all processes at the same step, where the model is shared out."""
        return sharded.whole_weights(self.plain)

    def state(self) -> dict[str, Any]:
        """What a checkpoint's trainer.pt holds. By all processes at the same step, where the model is shared out."""
        return {
            "step": self.step,
            "ended": self.step == self.steps,
            "optimizer": sharded.whole_optimizer(self.wrapped.optimizer),
            "precision": self.wrapped.precision.state_dict(),
            "window": self.window.state(),
            "norms": self.norms.state(),
            "watch": self.watch.state(),
        }

    def load(self, folder: Path) -> None:
        """The weights of a checkpoint, on however many processes it was written."""
        load_into(self.plain, sharded.weights_like(checkpoint.read_weights(folder), self.plain), folder)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint: the next step is bitwise the uninterrupted run's."""
        self.step = state["step"]
        self.steps = self.step if state["ended"] else self.steps
        self.wrapped.optimizer.load_state_dict(sharded.optimizer_like(state["optimizer"], self.wrapped.optimizer))
        self.wrapped.precision.load_state_dict(state["precision"])
        self.window.restore(state["window"], self.fabric.device)
        self.norms.restore(state["norms"], self.fabric.device)
        self.watch.restore(state["watch"])


def mix(seed: int, number: int, rank: int) -> int:
    """One well-spread seed from three numbers (SplitMix64, Steele et al. 2014): views need no random state of their own."""
    value = (seed * 0x9E3779B97F4A7C15 + number * 0xD1B54A32D192ED03 + rank * 0x8CB92BA72F3D8DD7) % 2**64
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) % 2**64
    return (value ^ (value >> 31)) % 2**63
