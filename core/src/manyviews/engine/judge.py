"""What a run's encoder is worth: its tasks beside the raw input and the encoder it began as, kept with the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from manyviews.encoder import Encoder
from manyviews.engine.device import Device
from manyviews.engine.load import Trained, load_trained
from manyviews.engine.parts import build_sets, build_source, build_tasks, build_terms
from manyviews.engine.run import Run
from manyviews.errors import UserError
from manyviews.evaluate.embed import Form
from manyviews.evaluate.plan import Planned, missing
from manyviews.evaluate.run import evaluate
from manyviews.evaluate.table import ResultTable
from manyviews.plugins.registry import registry
from manyviews.recipe.model import Evaluation, Origins, Recipe
from manyviews.source import Source
from manyviews.track.journal import Journal
from manyviews.track.run_file import RunFile, claim
from manyviews.track.sync import sync
from manyviews.track.words import say

RESULTS = "results.json"


def evaluate_run(
    place: str | Path,
    *,
    tasks: Sequence[str] = (),
    data: str | Path | None = None,
    teacher: bool = False,
    max_labelled: int | None = None,
    source: Source | None = None,
    device: Device = "auto",
) -> ResultTable:
    """Judge a run's encoder, an untrained one and the raw input, on the test split.

    The result of the run's own tasks on its own data is kept: in `results.json`, in the journal and in MLflow.

    Args:
        place: A run or checkpoint folder.
        tasks: Names of tasks, in place of all of the recipe's: as the recipe has them where it does, else by default.
        data: Other data than the run's own, read as those were.
        teacher: The EMA teacher's weights in place of the student's.
        max_labelled: Labelled units at most from each split.
        source: Data in memory, in place of what the recipe names.
        device: Where the encoders work.
    """
    trained = load_trained(place, teacher=teacher, device=device)
    if source is None:
        source = build_source(trained.recipe, trained.spec) if data is None else trained.reading(data)
    encoders = {"untrained encoder": trained.untrained(), "pretrained encoder": trained.encoder}
    table = judge(trained.recipe, encoders, source, tasks, max_labelled=max_labelled)
    own = not (tasks or data or teacher or max_labelled)
    if own and (Path(place) / "recipe.yaml").is_file() and (Path(place) / "checkpoints").is_dir():
        _keep(Run.open(place), trained, table)
    return table


def judge(
    recipe: Recipe,
    encoders: Mapping[str, Encoder],
    source: Source,
    tasks: Sequence[str] = (),
    *,
    raw: bool = True,
    forms: Sequence[Form] | None = None,
    max_labelled: int | None = None,
    max_unlabelled: int = 10_000,
) -> ResultTable:
    """Encoders beside one another, by the tasks asked for, else by the recipe's, each on its labelled set."""
    recipe = _asked(recipe, tasks)
    sets = build_sets(recipe, source)
    planned = _planned(recipe, sets, keep_all=bool(tasks))
    tables = [
        evaluate(
            encoders,
            sets[name],
            [item for item in planned if item.set == name],
            unit=recipe.unit,
            forms=forms,
            raw=raw,
            max_labelled=max_labelled,
            max_unlabelled=max_unlabelled,
            batch_size=recipe.train.batch_size,
            seed=recipe.train.seed,
            views=build_terms(recipe, source.spec)[0].views,
        )
        for name in dict.fromkeys(item.set for item in planned)
    ]
    notes = dict.fromkeys(note for table in tables for note in table.notes)
    return ResultTable(tuple(row for table in tables for row in table.rows), tuple(notes))


def _asked(recipe: Recipe, tasks: Sequence[str]) -> Recipe:
    """The recipe with the tasks asked for alone, as it has them or else by default; what is wrong is not the recipe file's."""
    for name in tasks:
        registry().component("task", name, recipe.domain, key="task")
    if tasks:
        own = {name: [item for item in recipe.evaluate if item.task == name] for name in tasks}
        wanted = [item for name in tasks for item in own[name] or [Evaluation(task=name)]]
        return recipe.model_copy(update={"evaluate": wanted}).written(Origins())
    if not recipe.evaluate:
        raise UserError(
            "the run's recipe names no tasks under `evaluate`; give some: --task linear_probe --task effective_rank"
        )
    return recipe


def _planned(recipe: Recipe, sets: Mapping[str | None, Source], *, keep_all: bool) -> tuple[Planned, ...]:
    """The tasks that their data have labels or pairs for; one that differs in form or rhythm alone is run once."""
    planned = build_tasks(recipe, every_form=True)
    return planned if keep_all else tuple(item for item in planned if missing(item.task, sets[item.set]) is None)


def _keep(run: Run, trained: Trained, table: ResultTable) -> None:
    """Metrics `result/<task>/<representation>/<form>/<metric>` at the checkpoint's step, once.

    A run that is still going on, or a server that does not answer, costs a line and never the table.
    """
    try:
        lock = claim(run.folder)
        try:
            (run.folder / RESULTS).write_text(table.to_json() + "\n", encoding="utf-8")
            with Journal(run.folder) as journal:
                journal.log(trained.manifest["step"], table.metrics("result/"))
        finally:
            lock.release()
        if RunFile.load(run.folder).state.uri is not None:
            sync(run.folder)
    except UserError as error:
        say(" ".join(f"the result is not stored with the run: {error}".split()))
