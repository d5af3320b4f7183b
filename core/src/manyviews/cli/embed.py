"""`manyviews embed`: vectors from a trained encoder, in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from manyviews.cli.options import best_option, device_option, engine_option

if TYPE_CHECKING:
    from manyviews.engine.device import Device


@click.command(short_help="Write a trained encoder's vectors into a file.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("data")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="A .parquet, .npy or .csv file, or a domain's own."
)
@click.option(
    "--form", type=click.Choice(["pooled", "flat"]), default="pooled", help="One vector a sample, or its tokens end to end."
)
@click.option("--tokens", is_flag=True, help="One vector a token, whatever the recipe's unit.")
@click.option("--teacher", is_flag=True, help="The EMA teacher's weights in place of the student's.")
@click.option("--batch-size", type=click.IntRange(min=1), default=256, show_default=True)
@engine_option
@best_option
@device_option
def command(
    run: Path,
    data: str,
    output: Path,
    form: str,
    tokens: bool,
    teacher: bool,
    batch_size: int,
    engine: str,
    best: bool,
    device: Device,
) -> None:
    """Embed DATA with the encoder of RUN (a run or checkpoint folder); one row a sample, in the order of the data.

    DATA is read as the training data were. A .parquet file has the columns `sample` (the row's number in the data), `name` (its
    file, where samples are from files) and `embedding`. With a recipe of `unit: token`, or --tokens, there is one row a token,
    samples back to back. Rows are kept beside the output as they are computed: repeated after a kill, the same command goes on.
    """
    from manyviews.engine.best import best_checkpoint
    from manyviews.engine.load import load_trained
    from manyviews.evaluate.embed import unit_form
    from manyviews.export.export import embeddings, export, weights_of, writer_for

    trained = load_trained(best_checkpoint(run) if best else run, teacher=teacher, device=device)
    writer = writer_for(output, trained.recipe.domain, "embedding")
    source = trained.reading(data)
    writer.check(source)
    source = writer.cut(source)
    chosen: Literal["pooled", "flat"] = "flat" if form == "flat" else "pooled"
    unit_of = unit_form("token" if tokens else trained.recipe.unit, chosen)
    encoder = trained.encoder
    compute = embeddings
    if engine == "ray":
        from manyviews.ray_cluster import embeddings_on_ray as compute
    about = export(
        compute(encoder, source, unit_of, batch_size),
        source,
        writer,
        output,
        what="embedding",
        of={"weights": weights_of(trained.manifest), "teacher": teacher, "form": unit_of},
        width=encoder.width if unit_of == "tokens" else encoder.pooled_width,
    )
    width = "×".join(map(str, about.rest or ())) or "?"
    click.echo(f"{output}: {about.rows} vectors of {width} numbers")
