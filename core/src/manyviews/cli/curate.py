"""`manyviews curate`: leave out training samples that are like others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from manyviews.cli.options import device_option

if TYPE_CHECKING:
    from manyviews.curate.run import Within
    from manyviews.engine.device import Device

NAMES = ("dhash", "structure", "information", "embedding")


@click.command(short_help="Leave out training samples that are like others.")
@click.argument("recipe")
@click.argument("overrides", nargs=-1, metavar="[KEY.PATH=VALUE]...")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="File for `train.keep` of a recipe.")
@click.option("--measure", type=click.Choice(NAMES), default="dhash", show_default=True)
@click.option("--threshold", type=float, help="Distance up to which two samples are redundant; the measure's own by default.")
@click.option(
    "--within", type=click.Choice(["all", "group"]), default="all", show_default=True, help="Compare all, or within a patient."
)
@click.option("--run", type=click.Path(path_type=Path), help="Run whose encoder gives the vectors of --measure embedding.")
@device_option
def command(
    recipe: str,
    overrides: tuple[str, ...],
    output: Path,
    measure: str,
    threshold: float | None,
    within: Within,
    run: Path | None,
    device: Device,
) -> None:
    """Keep one of what is alike among the training samples of RECIPE's data.

    \b
    dhash        64 bits of rising or falling brightness; how many differ (6)
    structure    1 - structural similarity (0.1)
    information  1 - normalised mutual information, for other contrasts (0.4)
    embedding    1 - cosine of an encoder's vectors, or of plain features (0.02)

    Then: manyviews pretrain RECIPE … train.keep=OUTPUT
    """
    from manyviews.recipe.load import load_recipe

    loaded = load_recipe(recipe, overrides)

    from manyviews.curate.keep import write_keep
    from manyviews.curate.measures import MEASURES
    from manyviews.curate.run import curate

    source, found = curate(loaded, measure, threshold, within, run, device)
    limit = MEASURES[measure].threshold if threshold is None else threshold
    write_keep(output, found, source, {"measure": measure, "threshold": limit, "within": within})
    every = len(found.kept) + len(found.dropped)
    click.echo(f"{output}: {len(found.kept):,} of {every:,} training samples stay ({len(found.kept) / every:.0%})")
    click.echo(f"Next: manyviews pretrain {recipe} {' '.join(overrides)} train.keep={output}", err=True)
