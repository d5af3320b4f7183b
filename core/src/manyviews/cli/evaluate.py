"""`manyviews evaluate`: what pretraining brought, beside what was there without it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from manyviews.cli.options import best_option, device_option

if TYPE_CHECKING:
    from manyviews.engine.device import Device


@click.command(short_help="Judge a run's encoder beside raw input and untrained encoder.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--task",
    "tasks",
    multiple=True,
    metavar="NAME",
    help="This task alone, as the recipe has it, else by default; can be repeated.",
)
@click.option("--data", metavar="PATH", help="Other data than the run's own, read as those were.")
@click.option("--teacher", is_flag=True, help="The EMA teacher's weights in place of the student's.")
@click.option("--max-labelled", type=click.IntRange(min=1), help="Labelled units at most from each split.")
@best_option
@device_option
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
    best: bool,
    device: Device,
    as_json: bool,
    csv_file: Path | None,
) -> None:
    """Judge the encoder of RUN (a run or checkpoint folder) by the recipe's tasks.

    The raw input and the untrained encoder stand beside it. The result of the run's own tasks on its own data is kept with
    the run: in results.json, and in MLflow where the run is tracked. `manyviews report RUN` makes its
    report anew, with the result.
    """
    from manyviews.errors import UserError

    if csv_file is not None and not csv_file.parent.is_dir():
        raise UserError(f"--csv: there is no folder {csv_file.parent}")
    from manyviews.engine.best import best_checkpoint
    from manyviews.engine.judge import evaluate_run

    place = best_checkpoint(run) if best else run
    table = evaluate_run(place, tasks=tasks, data=data, teacher=teacher, max_labelled=max_labelled, device=device)
    if csv_file is not None:
        csv_file.write_text(table.to_csv(), encoding="utf-8")
    click.echo(table.to_json() if as_json else table.text())
