"""A finetuning: every arm on every label budget, draw and seed, each a run, and what they say together."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric

from manyviews.engine.load import FINETUNE, RECIPE
from manyviews.engine.parts import plugins_of
from manyviews.engine.pretrain import tags_of
from manyviews.engine.processes import launch, make_fabric
from manyviews.engine.run import Run
from manyviews.engine.surroundings import own_generators, own_settings
from manyviews.errors import UserError
from manyviews.finetuning.budget import draw_labels
from manyviews.finetuning.fit import Case, fit
from manyviews.finetuning.results import best_fit, read_result
from manyviews.finetuning.table import FinetuneTable
from manyviews.finetuning.work import Work
from manyviews.recipe.finetune import Finetune, finetune_yaml, load_finetune, read_finetune
from manyviews.recipe.load import load_recipe, to_yaml
from manyviews.source import Source
from manyviews.track.journal import Journal
from manyviews.track.record import FinalStatus, RunRecord, flat_params
from manyviews.track.run_file import PARTS
from manyviews.track.tracker import Tracker, open_tracker

RESULTS = "results.json"


@dataclass(frozen=True)
class Study:
    """The folder of a finetuning: finetune.yaml, recipe.yaml, results.json, and a run for each fit in `parts`."""

    folder: Path
    stopped: signal.Signals | None = None
    """The signal that ended it before its last fit; None where none did."""

    @property
    def settings(self) -> Finetune:
        """With every default written out."""
        return read_finetune((self.folder / FINETUNE).read_text(encoding="utf-8"))

    def results(self) -> list[dict[str, Any]]:
        """Of each finished fit: arm, budget, subset, seed, labelled units, chosen step, metrics of valid and test units."""
        found = (read_result(folder) for folder in sorted((self.folder / PARTS).glob("*")))
        return [result for result in found if result is not None]

    def table(self) -> FinetuneTable:
        """The results by budget and arm: mean and 95% interval."""
        return FinetuneTable.of(self.results())

    @property
    def best(self) -> Path:
        """Run folder of the pretrained fit with the most labels, the first of its draws: what embed and predict take."""
        return best_fit(self.folder)


def finetune(
    run: str | Path | None = None,
    recipe: str | Path | None = None,
    *,
    source: Source | None = None,
    resume: str | Path | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    **sections: Any,
) -> Study:
    """Finetune a pretrained encoder on labelled data, beside the same encoder trained from scratch on the same labels.

    Args:
        run: Folder of the pretraining run, or of one of its checkpoints; None with `resume`.
        recipe: Settings by name or path, laid over the defaults.
        source: Data in memory, in place of what the run's recipe names.
        resume: Folder of a finetuning to go on with: what has finished stays, the rest is done.
        overrides: `key.path=value` texts, or a mapping.
        sections: Sections of the settings, and `data` of the run's recipe: `labels=4`, `data={"path": …}`.

    Returns:
        The finetuning: its folder, fits and table.

    Raises:
        UserError: Run, settings or data cannot be used; nothing was written then.
    """
    if resume is not None:
        if run is not None or recipe is not None or overrides or sections:
            raise UserError("a resumed finetuning goes on by its own settings: give `resume` alone")
        study = Study(Path(resume))
        if not (study.folder / FINETUNE).is_file():
            raise UserError(f"{resume}: not the folder of a finetuning (no {FINETUNE} in it)")
        kept = load_recipe(study.folder / RECIPE)
        return _run(study.settings, {"data": kept.data.model_dump(), "unit": kept.unit}, source, study)
    if run is None:
        raise UserError("give the folder of a pretraining run, or of a finetuning as `resume`")
    settings, over = load_finetune(str(run), None if recipe is None else str(recipe), overrides or sections)
    return _run(settings, over, source, None)


def _run(settings: Finetune, over: Mapping[str, Any], source: Source | None, resumed: Study | None) -> Study:
    if settings.train.strategy == "fsdp":
        raise UserError("train.strategy: fsdp is for pretraining; finetune with ddp")
    with own_settings(settings.train):
        fabric = make_fabric(settings.train)
        with own_generators(fabric.device):
            work = Work.of(settings, over, source)
            for budget in settings.labels:
                draw_labels(work.units, budget, 0)  # a budget that there are not is refused before anything is trained
            launch(fabric, settings.train)
            run = Run(resumed.folder) if resumed else _new(work, fabric)
            if not fabric.is_global_zero:
                return Study(run.folder, _fits(fabric, work, run))
            return _tracked(fabric, work, run)


def _new(work: Work, fabric: Fabric) -> Run:
    folder = ""
    if fabric.is_global_zero:
        run = Run.create(Path(work.settings.train.folder), f"{work.recipe.domain}-finetune")
        (run.folder / FINETUNE).write_text(finetune_yaml(work.settings), encoding="utf-8")
        (run.folder / RECIPE).write_text(to_yaml(work.recipe), encoding="utf-8")
        folder = str(run.folder)
    return Run(Path(fabric.broadcast(folder)))


def _tracked(fabric: Fabric, work: Work, run: Run) -> Study:
    """All fits, as parts of one run that holds what they say together."""
    tracker: Tracker = open_tracker(work.settings.track, run.folder)
    tracker.start(_record(work, run))
    status: FinalStatus = "FAILED"
    try:
        stopped = _fits(fabric, work, run)
        study = Study(run.folder, stopped)
        status = "KILLED" if stopped else "FINISHED"
        table = study.table()
        (run.folder / RESULTS).write_text(table.to_json() + "\n", encoding="utf-8")
        with Journal(run.folder) as journal:
            for labelled, metrics in table.metrics().items():
                journal.log(labelled, metrics)
        tracker.artifact(run.folder / RESULTS)
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        tracker.finish(status)
    return study


def _record(work: Work, run: Run) -> RunRecord:
    settings, recipe = work.settings, work.recipe
    track = settings.track
    return RunRecord(
        experiment=(track.experiment if track else None) or recipe.domain,
        run_name=(track.run_name if track else None) or run.folder.name,
        recipe_yaml=finetune_yaml(settings),
        params=flat_params({"finetune": settings.model_dump(mode="json", exclude={"track"})}),
        tags={**tags_of(recipe, work.source, plugins_of(recipe), track), "manyviews.kind": "finetune"},
    )


def _fits(fabric: Fabric, work: Work, run: Run) -> signal.Signals | None:
    """Every fit that has not finished yet; ends with the signal that ended one of them."""
    cases = list(_cases(work.settings))
    for number, case in enumerate(cases, 1):
        if read_result(run.folder / PARTS / case.name) is not None:
            continue
        if fabric.is_global_zero and len(cases) > 1:
            print(f"Fit {number} of {len(cases)}: {case.name}", file=sys.stderr)
        chosen = draw_labels(work.units, case.budget, case.subset)
        done = fit(fabric, work, case, chosen, run)
        if done.stopped is not None:
            return done.stopped
    return None


def _cases(settings: Finetune) -> Iterator[Case]:
    """Budgets from the smallest; all labels can be drawn in one way only."""
    for budget in settings.labels:
        for subset in range(1 if budget == 1.0 and isinstance(budget, float) else settings.subsets):
            for seed in range(settings.seeds):
                yield Case("pretrained", budget, subset, seed)
                if settings.scratch:
                    yield Case("from scratch", budget, subset, seed)
