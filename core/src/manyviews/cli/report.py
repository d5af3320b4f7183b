"""`manyviews report`: what a run was and what its encoder makes of the data, as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from manyviews.cli.options import device_option

if TYPE_CHECKING:
    from manyviews.engine.device import Device


@click.command(short_help="Make a run's report.")
@click.argument("run", type=click.Path(path_type=Path, file_okay=False))
@device_option
def command(run: Path, device: Device) -> None:
    """Make the report of RUN (a run folder) and store it with the run: curves, signs of collapse, a map of embeddings,
    nearest neighbours, the views. One HTML file that needs nothing else.

    A tracked pretraining run makes its own at its end (`track.report`); made again, it has the results of `manyviews evaluate`.
    """
    from manyviews.report.make import report_run

    click.echo(report_run(run, device=device))
