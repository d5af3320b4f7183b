"""One fit: an arm (pretrained or from scratch) on one draw of labels from one seed, as a run of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from jaxtyping import Int
from lightning_fabric import Fabric
from torch import Tensor

from manyviews.batch import Batch
from manyviews.engine import checkpoint
from manyviews.engine.best import Verdict
from manyviews.engine.load import ANSWERS, FINETUNE, RECIPE, SPEC, load_into
from manyviews.engine.loader import Order
from manyviews.engine.parts import plugins_of
from manyviews.engine.pretrain import steps_of, tags_of
from manyviews.engine.run import Run
from manyviews.engine.session import Log, Session
from manyviews.engine.trainer import Trainer
from manyviews.errors import keyed
from manyviews.evaluate.embed import evaluating
from manyviews.finetuning.learner import Tuned
from manyviews.finetuning.results import RESULT
from manyviews.finetuning.work import Work
from manyviews.recipe.finetune import USUAL_RATE, finetune_yaml
from manyviews.recipe.load import to_yaml
from manyviews.track.record import RunRecord, flat_params
from manyviews.track.run_file import PARTS, write_whole

Arm = Literal["pretrained", "from scratch"]


@dataclass(frozen=True)
class Case:
    """Which fit of a finetuning."""

    arm: Arm
    budget: int | float
    subset: int
    seed: int

    @property
    def name(self) -> str:
        """Of its folder."""
        labels = f"{self.budget:g}" if isinstance(self.budget, float) else f"{self.budget}labels"
        return f"{self.arm.replace(' ', '-')}_{labels}_subset{self.subset}_seed{self.seed}"


@dataclass(frozen=True)
class Reading:
    """The task's reader, each batch with chance of its own."""

    read: Callable[[Int[np.ndarray, "samples"], np.random.Generator], Batch]
    seed: int
    rank: int

    def __call__(self, number: int, index: Int[np.ndarray, "batch"]) -> Batch:
        return self.read(index, np.random.default_rng([self.seed, self.rank, number]))


@dataclass
class Choice:
    """Looks at the validation units now and then, and at the test units at the end, of the step that was best."""

    work: Work
    learner: Tuned
    every: int
    steps: int
    rows: Mapping[str, Int[np.ndarray, "rows"]]
    """Split -> labelled units."""
    result: dict[str, Any] = field(default_factory=dict)
    reached: tuple[int, float] | None = None
    """The best step and its value, higher being better."""
    best: None = None
    """The best weights are kept here, not as a checkpoint of their own."""
    weights: dict[str, Tensor] = field(default_factory=dict)

    @property
    def choosing(self) -> bool:
        return self.work.settings.choose == "best" and len(self.rows["valid"]) > 0

    @property
    def decides(self) -> bool:
        return self.choosing and self.work.settings.patience is not None

    def due(self, step: int) -> bool:
        return step % self.every == 0 or step == self.steps

    def evaluate(self, step: int, log: Log) -> Verdict:
        if not len(self.rows["valid"]):
            return "on"
        valid = self._scores("valid")
        log(step, {f"valid/{name}": value for name, value in valid.items()})
        if not self.choosing:
            self.result |= {"step": step, "valid": valid}
            return "on"
        by = self.work.task.chosen_by
        value = valid[by] if self.work.task.better[by] == "higher" else -valid[by]
        if self.reached is None or value > self.reached[1]:
            self.reached = (step, value)
            self.weights = {name: tensor.detach().cpu().clone() for name, tensor in self.learner.state_dict().items()}
            self.result |= {"step": step, "valid": valid}
        patience = self.work.settings.patience
        return "end" if patience is not None and step - self.reached[0] >= patience * self.every else "on"

    def ended(self, step: int, log: Log) -> None:
        """Go back to the best step and report the test units."""
        if self.weights:
            self.learner.load_state_dict(self.weights)
        self.result.setdefault("step", step)
        if len(self.rows["test"]):
            self.result["test"] = self._scores("test")
            log(step, {f"test/{name}": value for name, value in self.result["test"].items()})

    def _scores(self, split: str) -> dict[str, float]:
        work = self.work
        with evaluating(self.learner):
            scores = work.task.evaluate(self.learner.net, self.learner.answers, work.source, work.units, self.rows[split])
        return dict(scores)

    def state(self) -> dict[str, Any]:
        return {"choice": {"reached": self.reached, "weights": self.weights, "result": self.result}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """From a checkpoint's trainer.pt."""
        kept = state["choice"]
        self.reached, self.weights, self.result = kept["reached"], kept["weights"], kept["result"]


def fit(fabric: Fabric, work: Work, case: Case, chosen: Int[np.ndarray, "chosen"], study: Run) -> Run:
    """Train, choose, report; the result is kept in the fit's folder."""
    run = Run(study.folder / PARTS / case.name)
    seed = work.settings.train.seed + case.seed
    with keyed("task"):
        answers = work.task.learn(work.source, work.units, chosen)
    learner = work.learner(answers, seed, scratch=case.arm == "from scratch")
    work = work.trained_by(work.task.frozen_rate if learner.method == "frozen" else USUAL_RATE)
    settings = work.settings
    order = _order(work, chosen, seed, fabric)
    steps = steps_of(settings.train, order)
    reading = Reading(work.task.reader(work.source, work.units, chosen), seed, fabric.global_rank)
    seeded = settings.model_copy(
        update={"train": settings.train.model_copy(update={"seed": seed, "batch_size": order.batch_size})}
    )
    trainer = Trainer(fabric, seeded, reading, order, learner, steps)
    rows = {split: work.units.rows(split) for split in ("valid", "test")}
    choice = Choice(work, learner, settings.every or max(steps // 10, 1), steps, rows)
    start = checkpoint.checkpoints(run.folder / "checkpoints")
    if start:
        checkpoint.read_manifest(start[-1])
        load_into(learner, checkpoint.read_weights(start[-1]), start[-1])
        state = checkpoint.read_trainer(start[-1])
        trainer.restore(state)
        choice.restore(state)
    if fabric.is_global_zero:
        run.folder.mkdir(parents=True, exist_ok=True)
    run = _session(run, work, case, answers, trainer, choice, study, resumed=bool(start)).run_to_the_end()
    if run.stopped is None and fabric.is_global_zero:
        facts = {"arm": case.arm, "budget": case.budget, "subset": case.subset, "seed": case.seed, "method": learner.method}
        counted = {"labelled": len(chosen), "validation": len(rows["valid"])}
        write_whole(run.folder / RESULT, json.dumps({**facts, **counted, **choice.result}, indent=1) + "\n")
    return run


def _order(work: Work, chosen: Int[np.ndarray, "chosen"], seed: int, fabric: Fabric) -> Order:
    """Of the samples with labels; a batch is no larger than they are many."""
    train, samples = work.settings.train, work.units.samples(chosen)
    world = fabric.world_size
    sizes = work.source.sizes()
    return Order(
        samples,
        max(min(train.batch_size, len(samples) // world), 1),
        seed,
        rank=fabric.global_rank,
        world=world,
        sizes=None if sizes is None else sizes[samples],
        cap=train.batch_total,
    )


def _session(
    run: Run, work: Work, case: Case, answers: Any, trainer: Trainer, choice: Choice, study: Run, *, resumed: bool
) -> Session:
    settings, recipe = work.settings, work.recipe
    plugins = plugins_of(recipe)
    facts = {"arm": case.arm, "budget": case.budget, "subset": case.subset, "seed": case.seed}
    record = RunRecord(
        experiment=(settings.track.experiment if settings.track else None) or recipe.domain,
        run_name=case.name,
        recipe_yaml=finetune_yaml(settings),
        params=flat_params({"fit": facts, "finetune": settings.model_dump(mode="json", exclude={"track"})}),
        tags=tags_of(recipe, work.source, plugins, settings.track),
        parent=study.folder,
    )
    texts = {
        RECIPE: to_yaml(recipe),
        SPEC: work.source.spec.model_dump_json(indent=1),
        FINETUNE: finetune_yaml(settings.model_copy(update={"method": choice.learner.method})),
        ANSWERS: answers.model_dump_json(indent=1),
    }
    return Session(
        run,
        record,
        settings.track,
        work.source,
        trainer,
        choice,
        texts,
        keep=settings.train.keep_checkpoints,
        plugins=plugins,
        log_model=settings.track is not None and settings.track.log_model,
        upload=settings.track is not None and settings.track.log_model,
        resumed=resumed,
    )
