"""`manyviews evaluate`: what pretraining brought, beside what was there without it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from manyviews.evaluate.plan import Planned
    from manyviews.recipe.model import Recipe


@click.command(short_help="Judge a run's encoder beside raw input and untrained encoder.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--task", "tasks", multiple=True, metavar="NAME", help="This task instead of the recipe's; can be repeated.")
@click.option("--data", metavar="PATH", help="Other data than the run's own, read as those were.")
@click.option("--teacher", is_flag=True, help="The EMA teacher's weights in place of the student's.")
@click.option("--max-labelled", type=click.IntRange(min=1), help="Labelled units at most from each split.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option(
    "--csv", "csv_file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write a CSV file, too."
)
def command(
    run: Path,
    tasks: tuple[str, ...],
    data: str | None,
    teacher: bool,
    max_labelled: int | None,
    as_json: bool,
    csv_file: Path | None,
) -> None:
    """Judge the encoder of RUN (a run or checkpoint folder) by the recipe's tasks.

    The raw input and the untrained encoder stand beside it. The results are kept in RUN/results.json, unless they are of
    other data or tasks.
    """
    from manyviews.engine.load import load_trained
    from manyviews.engine.parts import build_source
    from manyviews.evaluate.run import evaluate

    trained = load_trained(run, teacher=teacher)
    source = build_source(trained.recipe, trained.spec) if data is None else trained.reading(data)
    encoders = {"untrained encoder": trained.untrained(), "pretrained encoder": trained.encoder}
    table = evaluate(
        encoders,
        source,
        _planned(trained.recipe, tasks),
        unit=trained.recipe.unit,
        max_labelled=max_labelled,
        batch_size=trained.recipe.train.batch_size,
        seed=trained.recipe.train.seed,
    )
    if csv_file is not None:
        csv_file.write_text(table.to_csv(), encoding="utf-8")
    if not (tasks or data or teacher or max_labelled):
        (run / "results.json").write_text(table.to_json() + "\n", encoding="utf-8")
    click.echo(table.to_json() if as_json else table.text())


def _planned(recipe: Recipe, tasks: tuple[str, ...]) -> tuple[Planned, ...]:
    """The tasks asked for, else the recipe's; one that differs in form or rhythm alone is run once."""
    from manyviews.engine.parts import build_tasks
    from manyviews.errors import UserError
    from manyviews.evaluate.plan import plan
    from manyviews.recipe.model import Evaluation

    if tasks:
        recipe = recipe.model_copy(update={"evaluate": [Evaluation(task=name) for name in tasks]})
    if not recipe.evaluate:
        raise UserError(
            "the run's recipe names no tasks under `evaluate`; give some: --task linear_probe --task effective_rank"
        )
    return plan(recipe.evaluate, [planned.task for planned in build_tasks(recipe)], every_form=True)
