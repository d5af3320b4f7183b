"""`manyviews predict`: a finetuned net's answers, in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from manyviews.cli.options import device_option

if TYPE_CHECKING:
    from manyviews.engine.device import Device


@click.command(short_help="Write a finetuned net's answers into a file.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("data")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="A .csv, .parquet, .npy or .npz file, .tsv for events, or a domain's own.",
)
@device_option
def command(run: Path, data: str, output: Path, device: Device) -> None:
    """Answer DATA with the net of RUN (a finetuning, one of its fits, or a checkpoint folder).

    Classes come as a probability for each, numbers in the unit of the labels, label maps one for each sample, events as rows of
    onset, offset and label. DATA is read as
    the training data were. Repeated after a kill, the same command goes on.
    """
    from manyviews.export.export import export, weights_of, writer_for
    from manyviews.finetuning.load import load_finetuned

    found = load_finetuned(run, device=device)
    writer = writer_for(output, found.trained.recipe.domain, found.task.gives)
    source = found.trained.reading(data)
    writer.check(source)
    about = export(
        lambda samples: found.rows(source, samples),
        source,
        writer,
        output,
        what=found.task.gives,
        of={"weights": weights_of(found.trained.manifest)},
        width=found.width,
        names=found.names,
    )
    click.echo(f"{output}: {about.rows} answers")
