"""`manyviews checkpoints`: which checkpoint of a run to take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from manyviews.cli.options import device_option

if TYPE_CHECKING:
    from manyviews.engine.device import Device


@click.command(short_help="Judge a run's checkpoints, without labels.")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--task", "tasks", multiple=True, metavar="NAME", help="These tasks; without: those that need no labels.")
@click.option("--data", metavar="PATH", help="Other data than the run's own, read as those were.")
@click.option("--teacher", is_flag=True, help="The EMA teacher's weights in place of the student's.")
@click.option("--max-units", type=click.IntRange(min=2), default=2000, show_default=True, help="Units at most of each split.")
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(
    run: Path, tasks: tuple[str, ...], data: str | None, teacher: bool, max_units: int, device: Device, as_json: bool
) -> None:
    """Judge every checkpoint of RUN: a row each, the best number of a column with a star.

    A run keeps `train.keep_checkpoints` of them, and the best step's where the recipe says `train.best`.
    """
    from manyviews.engine.choose import LABEL_FREE, judge_checkpoints

    table = judge_checkpoints(run, tasks=tasks or LABEL_FREE, data=data, teacher=teacher, max_units=max_units, device=device)
    click.echo(table.to_json() if as_json else table.text())
