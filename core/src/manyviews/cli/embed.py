"""`manyviews embed`: vectors from a trained encoder, in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from manyviews.cli.options import device_option

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from jaxtyping import Float, Int

    from manyviews.engine.device import Device

    Vectors = Float[np.ndarray, "units width"]
    Numbers = Int[np.ndarray, "units"]
    Writer = Callable[[Vectors, Numbers, Path], None]

SUFFIXES = (".parquet", ".npy")


@click.command(short_help="Write a trained encoder's vectors into a file.")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("data")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False), help="A .parquet or .npy file.")
@click.option(
    "--form", type=click.Choice(["pooled", "flat"]), default="pooled", help="One vector a sample, or its tokens end to end."
)
@click.option("--teacher", is_flag=True, help="The EMA teacher's weights in place of the student's.")
@click.option("--batch-size", type=click.IntRange(min=1), default=256, show_default=True)
@device_option
def command(run: Path, data: str, output: Path, form: str, teacher: bool, batch_size: int, device: Device) -> None:
    """Embed DATA with the encoder of RUN (a run or checkpoint folder); one row a sample, in the order of the data.

    DATA is read as the training data were. A .parquet file has the columns `sample` (the row's number in the data) and
    `embedding`. With a recipe of `unit: token` there is one row a token, samples back to back.
    """
    from manyviews.errors import UserError

    if output.suffix not in SUFFIXES:
        raise UserError(f"--output: {output} ends in {output.suffix or 'nothing'}; name a {' or '.join(SUFFIXES)} file")
    if not output.parent.is_dir():
        raise UserError(f"--output: there is no folder {output.parent}")
    import numpy as np

    from manyviews.engine.load import load_trained
    from manyviews.evaluate.embed import embed, token_counts

    write = {".parquet": _parquet_writer, ".npy": _npy_writer}[output.suffix]()
    trained = load_trained(run, teacher=teacher, device=device)
    source, unit = trained.reading(data), trained.recipe.unit
    samples = np.arange(len(source))
    chosen: Literal["pooled", "flat"] = "flat" if form == "flat" else "pooled"
    vectors = embed(trained.encoder, source, samples, batch_size=batch_size, unit=unit, form=chosen)
    if unit == "token":
        samples = np.repeat(samples, token_counts(trained.encoder, source, batch_size=batch_size))
    beside = output.with_name(f".{output.name}.part")
    try:
        write(vectors, samples, beside)
        beside.replace(output)  # a process that is killed leaves no half file under this name
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise UserError(
            f"--output: {output} could not be written ({error.strerror or error}); nothing was left there"
        ) from error
    click.echo(f"{output}: {vectors.shape[0]} vectors of {vectors.shape[1]} numbers")


def _npy_writer() -> Writer:
    import numpy as np

    def write(vectors: Vectors, samples: Numbers, place: Path) -> None:
        with place.open("wb") as file:
            np.save(file, vectors)

    return write


def _parquet_writer() -> Writer:
    from manyviews.errors import UserError

    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UserError("--output: a .parquet file needs pyarrow; pip install pyarrow, or name a .npy file") from error

    def write(vectors: Vectors, samples: Numbers, place: Path) -> None:
        lists = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(vectors.reshape(-1)), vectors.shape[1])
        parquet.write_table(pyarrow.table({"sample": samples, "embedding": lists}), place)

    return write
