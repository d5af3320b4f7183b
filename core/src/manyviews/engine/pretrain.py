"""Pretraining, told from the recipe to the finished run."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast, get_args

import torch
from lightning_fabric import Fabric

from manyviews import distributed
from manyviews.curate.keep import read_keep
from manyviews.engine import checkpoint
from manyviews.engine.asked import refuse_changed, weights_asked
from manyviews.engine.best import Best, Verdict
from manyviews.engine.elsewhere import elsewhere, refuse_all_but_places, refuse_another
from manyviews.engine.load import RECIPE, SPEC
from manyviews.engine.loader import Order, Samples
from manyviews.engine.mgda import MGDA
from manyviews.engine.model import Model
from manyviews.engine.parts import build_encoder, build_sets, build_source, build_tasks, build_terms, plugins_of, read_spec
from manyviews.engine.processes import launch, make_fabric
from manyviews.engine.run import Run
from manyviews.engine.session import Log, Session, plain
from manyviews.engine.surroundings import own_generators, own_settings
from manyviews.engine.trainer import Trainer
from manyviews.errors import UserError, keyed
from manyviews.evaluate.embed import evaluating
from manyviews.evaluate.plan import Need, Planned, missing, only_tested
from manyviews.evaluate.run import why_not_at_the_end
from manyviews.evaluate.sets import OnlineSets
from manyviews.objective import Unit
from manyviews.plugins.registry import registry
from manyviews.recipe.errors import located
from manyviews.recipe.load import load_recipe, to_yaml
from manyviews.recipe.model import Recipe, Track, Train
from manyviews.recipe.resolve import resolve
from manyviews.source import Source
from manyviews.track.record import RunRecord, flat_params
from manyviews.track.tags import run_tags
from manyviews.track.words import say


def pretrain(
    recipe: str | Path | Recipe | None = None,
    *,
    source: Source | None = None,
    resume: str | Path | None = None,
    folder: str | Path | None = None,
    parent: Path | None = None,
    **overrides: Any,
) -> Run:
    """Pretrain an encoder as a recipe says.

    Args:
        recipe: A recipe's name (`tabular/t_jepa`), path, or a loaded one; None with `resume`.
        source: Data in memory, in place of what the recipe's `data` names.
        resume: A run folder to go on with, from its last checkpoint, by its own recipe; `train` may say where (devices, nodes,
            workers, threads): the samples of each step stay the same.
        folder: The run's folder: begun where there is none, gone on with where this recipe's run is there already.
        parent: Folder of the run that this one is a part of (a sweep's), below which it stands in MLflow.
        overrides: Sections of the recipe: `data={"path": …}`, `train={"steps": 100}`.

    Returns:
        The run: its folder, checkpoints and metrics.

    Raises:
        UserError: Recipe, data or checkpoint cannot be used; nothing was written then.
    """
    if resume is not None:
        if recipe is not None or folder is not None or set(overrides) - {"train"}:
            raise UserError("a resumed run goes on by its own recipe: give `resume`, and of `train` where it is to run")
        run = Run.open(resume)
        place = overrides.get("train", {})
        refuse_all_but_places(place)
        asked = load_recipe(run.folder / RECIPE, {"train": place})
        return _train(elsewhere(run.recipe, asked.train), run.folder.name, source, run, parent)
    if recipe is None:
        raise UserError("give a recipe, or a run folder as `resume`")
    loaded = recipe if isinstance(recipe, Recipe) else load_recipe(recipe, overrides)
    whole = resolve(loaded)
    if folder is not None:
        return _begin_or_go_on(whole, Path(folder), source, parent)
    return _train(whole, loaded.title, source, None, parent)


def _begin_or_go_on(recipe: Recipe, folder: Path, source: Source | None, parent: Path | None) -> Run:
    """What a requeued job wants: the same command begins a run and goes on with it."""
    if not (folder / RECIPE).is_file():
        if folder.is_dir() and any(folder.iterdir()):
            raise UserError(f"{folder}: is there and no run's folder; give one that is empty or not there")
        return _train(recipe, folder.name, source, None, parent, folder)
    run = Run.open(folder)
    refuse_another(run.recipe, recipe, folder)
    if not checkpoint.checkpoints(folder / "checkpoints"):  # stopped before its first: from the beginning, in the same place
        return _train(recipe, folder.name, source, None, parent, folder)
    return _train(elsewhere(run.recipe, recipe.train), folder.name, source, run, parent)


def check(recipe: Recipe) -> Recipe:
    """Everything that can be checked without data: every key, every parameter, whether the parts fit. The resolved recipe."""
    whole = resolve(recipe)
    build_terms(whole, None)
    build_tasks(whole)
    return whole


def _train(
    recipe: Recipe, name: str, source: Source | None, resumed: Run | None, parent: Path | None, folder: Path | None = None
) -> Run:
    with located(recipe), own_settings(recipe.train):
        fabric = make_fabric(recipe.train)
        with own_generators(fabric.device):
            return _run(fabric, recipe, name, source, resumed, parent, folder)


def _run(
    fabric: Fabric,
    recipe: Recipe,
    name: str,
    source: Source | None,
    resumed: Run | None,
    parent: Path | None,
    folder: Path | None,
) -> Run:
    """What is wrong with recipe or data is found before other processes are started, and so said once."""
    build_terms(recipe, None)
    start = checkpoint.last(resumed.folder) if resumed else None
    manifest = checkpoint.read_manifest(start) if start else {}
    spec = read_spec(recipe, (start / SPEC).read_text(encoding="utf-8")) if start else None
    source = source or build_source(recipe, spec)
    order, model = order_of(recipe, source), model_of(recipe, source)
    _rehearse(recipe, source, order, model)
    if start is None:
        prepare(source, order, model)
    tasks = build_tasks(recipe)
    sets = build_sets(recipe, source)
    fitting = [item for item in tasks if missing(item.task, sets[item.set]) is None]
    views = build_terms(recipe, source.spec)[0].views
    online = [item for item in fitting if not only_tested(item.task, sets[item.set])]
    evaluation = OnlineSets.of(online, sets, unit=recipe.unit, seed=recipe.train.seed, views=views)
    best = Best.of(recipe.train, evaluation.planned)
    if recipe.train.strategy == "fsdp" and recipe.combine == "mgda":
        raise UserError("train.strategy: fsdp does not go with combine: mgda, which looks at whole gradients; use ddp")
    launch(fabric, recipe.train)
    _name_left_out(tasks, sets)
    if start is None:
        _tell(source, fitting, sets, recipe.unit)
    mgda = MGDA.of(model) if recipe.combine == "mgda" else None
    mine = replace(order, rank=fabric.global_rank)
    trainer = Trainer(fabric, recipe, Samples(source), mine, model, steps_of(recipe.train, order), mgda)
    if recipe.unit == "token" and evaluation.planned and fabric.is_global_zero:
        evaluation.check(trainer.shown)  # refuses labels that are not the tokens' before a run begins
    if start:
        _restore(trainer, best, start)
        _warn_of_changes(manifest, source)
    run = resumed or _new_run(recipe, name, fabric, folder)
    plan = _Pretraining(trainer, evaluation, best)
    own = recipe if resumed is None else resumed.recipe  # wherever it runs this time
    return _session(run, own, source, plan, resumed is not None, parent).run_to_the_end()


def _session(run: Run, recipe: Recipe, source: Source, plan: _Pretraining, resumed: bool, parent: Path | None) -> Session:
    plugins = plugins_of(recipe)
    return Session(
        run,
        _record(run, recipe, source, plugins, parent),
        recipe.track,
        source,
        plan.trainer,
        plan,
        texts={RECIPE: to_yaml(recipe), SPEC: source.spec.model_dump_json(indent=1)},
        keep=recipe.train.keep_checkpoints,
        plugins=plugins,
        log_model=recipe.track is not None and recipe.track.log_model,
        resumed=resumed,
        report=partial(_report, run, recipe, source, plan.trainer)
        if recipe.track is not None and recipe.track.report
        else None,
    )


def _report(run: Run, recipe: Recipe, source: Source, trainer: Trainer) -> Path:
    from manyviews.report.make import write_report

    return write_report(run, recipe, source, trainer.shown)


def _record(run: Run, recipe: Recipe, source: Source, plugins: Mapping[str, str], parent: Path | None) -> RunRecord:
    track = recipe.track
    return RunRecord(
        experiment=(track.experiment if track else None) or recipe.domain,
        run_name=(track.run_name if track else None) or run.folder.name,
        recipe_yaml=to_yaml(recipe),
        params=flat_params(recipe.model_dump(mode="json", exclude={"track"})),
        tags=tags_of(recipe, source, plugins, track),
        parent=parent,
    )


def tags_of(recipe: Recipe, source: Source, plugins: Mapping[str, str], track: Track | None) -> dict[str, str]:
    """Ours, the plugins' and the user's."""
    tags = run_tags(plugins=plugins, fingerprint=source.fingerprint())
    if source.skipped:
        tags["manyviews.skipped"] = str(len(source.skipped))
    for _, given in registry().call("manyviews_run_tags", recipe=recipe):
        tags |= given
    return tags | (track.tags if track else {})


@dataclass(frozen=True)
class _Pretraining:
    """What pretraining does beside training: its recipe's tasks, when they are due."""

    trainer: Trainer
    evaluation: OnlineSets

    best: Best | None

    @property
    def decides(self) -> bool:
        return self.best is not None

    def due(self, step: int) -> bool:
        return bool(self.evaluation.due(step, last=step == self.trainer.steps))

    def evaluate(self, step: int, log: Log) -> Verdict:
        readings = self.evaluation(self.trainer.shown, step, last=step == self.trainer.steps)
        log(step, readings)
        return "on" if self.best is None else self.best.look(step, readings)

    def state(self) -> dict[str, Any]:
        model = cast(Model, self.trainer.plain)
        return {"asked": weights_asked(model), **({} if self.best is None else {"best": self.best.state()})}

    def ended(self, step: int, log: Log) -> None:
        """Nothing more: the last step is evaluated as any other."""


def _name_left_out(tasks: Sequence[Planned], sets: Mapping[str | None, Source]) -> None:
    """Tasks that need labels or pairs, where the data have none, or none that may be looked at in training."""
    for lack in get_args(Need):
        without = ", ".join(item.name for item in tasks if missing(item.task, sets[item.set]) == lack)
        if without and distributed.rank() == 0:
            print(f"The data have no {lack}: {without} left out of the evaluation", file=sys.stderr)
    later = ", ".join(item.name for item in tasks if only_tested(item.task, sets[item.set]))
    if later and distributed.rank() == 0:
        print(f"All pairs are for testing: {later} left to `manyviews evaluate`", file=sys.stderr)


def _tell(source: Source, planned: Sequence[Planned], sets: Mapping[str | None, Source], unit: Unit) -> None:
    """What its user may want to know before the run, rather than behind it."""
    if distributed.rank() != 0:
        return
    for remark in source.remarks:
        say(remark)
    for item in planned if unit == "sample" else ():
        if (reason := why_not_at_the_end(item, sets[item.set])) is not None:
            say(f"`manyviews evaluate` will not be able to judge by {item.name}: {reason}")


def order_of(recipe: Recipe, source: Source) -> Order:
    """The order of the training samples, as the first process has it."""
    train = recipe.train
    chosen = source.subset("train")
    if train.keep is not None:
        chosen &= read_keep(train.keep, source)
    return Order(
        chosen,
        train.batch_size,
        train.seed,
        world=train.devices * train.nodes,
        blocks=source.blocks,
        window=train.shuffle_blocks,
        sizes=None if (sizes := source.sizes()) is None else sizes[chosen.numbers()],
        cap=train.batch_total,
    )


def model_of(recipe: Recipe, source: Source) -> Model:
    """Encoder and objectives, from the recipe's seed."""
    train = recipe.train
    encoder = build_encoder(recipe, source.spec)
    torch.manual_seed(train.seed + 1)
    model = Model(encoder, build_terms(recipe, source.spec), recipe.unit, recipe.teacher)
    if train.compile:
        _compile(model)
    return model


def _compile(model: Model) -> None:
    """The nets one by one, which leaves objectives and views as they are.

    For any sizes from the start: by default each size that turns out to change (the tokens left by a mask, the longest
    sample) is a compilation more.
    """
    parts = [model.encoder, *model.teacher]
    for part in parts + [part for term in model.each_term for part in (term.head, term.predictor) if part is not None]:
        part.compile(dynamic=True)


def steps_of(train: Train, order: Order) -> int:
    """The steps of a run, its epochs counted in them."""
    return train.steps or math.ceil(cast(float, train.epochs) * order.per_epoch / train.accumulate)


def _rehearse(recipe: Recipe, source: Source, order: Order, model: Model) -> None:
    """Read one batch and make its views: what is wrong with them is found before a run begins."""
    with keyed("data"):
        batch = source.batch(next(order.batches(0, 1)))
    layout = model.encoder.layout(batch)
    if recipe.unit == "sample" and len(batch) == 1 and model.compares:
        raise UserError(
            "train.batch_size: a batch of a single sample cannot be compared with itself; "
            "take more samples, or `unit: token` where the sample has many"
        )
    for term in model.each_term:
        with keyed(term.views_key):
            for share in (0.0, *term.views.turns):
                term.views.progress(share)
                term.views(batch, layout, torch.Generator().manual_seed(0))


def prepare(source: Source, order: Order, model: Model) -> None:
    """What objectives fit on the training data before the first step. A resumed run has it in its checkpoint."""
    for term in model.each_term:
        batches = (source.batch(index) for index in order.batches(0, order.per_epoch))
        with evaluating(model.encoder), keyed(term.key):
            term.objective.prepare(model.encoder, batches)


def _restore(trainer: Trainer, best: Best | None, folder: Path) -> None:
    trainer.load(folder)
    state = checkpoint.read_trainer(folder)
    refuse_changed(cast(Model, trainer.plain), state.get("asked", {}))
    trainer.restore(state)
    if best is not None:
        best.restore(state["best"])


def _warn_of_changes(manifest: Mapping[str, Any], source: Source) -> None:
    if manifest["fingerprint"] != plain(source.fingerprint()) and distributed.rank() == 0:
        print(
            "Warning: the data are not what this run began with (their fingerprint changed); it goes on with the new ones",
            file=sys.stderr,
        )


def _new_run(recipe: Recipe, name: str, fabric: Fabric, folder: Path | None) -> Run:
    """One folder, made by the first process; the others are told where."""
    made = ""
    if fabric.is_global_zero:
        run = Run.create(Path(recipe.train.folder), name) if folder is None else Run.at(folder)
        (run.folder / RECIPE).write_text(to_yaml(recipe), encoding="utf-8")
        made = str(run.folder)
    return Run(Path(fabric.broadcast(made)))
