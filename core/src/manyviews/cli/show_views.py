"""`manyviews show-views`: what the encoder will see, as a picture."""

from __future__ import annotations

from pathlib import Path

import click

SUFFIXES = (".png", ".svg", ".pdf")


@click.command(short_help="Draw the views that a recipe makes.")
@click.argument("recipe")
@click.argument("overrides", nargs=-1, metavar="[KEY.PATH=VALUE]...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("views.png"),
    show_default=True,
    help="A .png, .svg or .pdf file.",
)
@click.option("--samples", type=click.IntRange(1, 64), default=4, show_default=True, help="Rows of the picture.")
@click.option("--seed", type=click.IntRange(min=0), help="Of the samples and of the views; the recipe's by default.")
def command(recipe: str, overrides: tuple[str, ...], output: Path, samples: int, seed: int | None) -> None:
    """Draw what the encoder will see by RECIPE: some training samples, and each view of them.

    What is withheld from the encoder is covered, what it is asked for is outlined. Nothing is trained.

    \b
    manyviews show-views tabular/t_jepa data.path=table.csv -o views.png
    manyviews show-views speech/audio_mae data.path=clips/ views.share=0.5 --seed 3
    """
    from manyviews.errors import UserError
    from manyviews.look.style import require_matplotlib
    from manyviews.recipe.load import load_recipe

    if output.suffix not in SUFFIXES:
        raise UserError(f"--output: {output} ends in {output.suffix or 'nothing'}; name a {', '.join(SUFFIXES)} file")
    if not output.parent.is_dir():
        raise UserError(f"--output: there is no folder {output.parent}")
    require_matplotlib()
    loaded = load_recipe(recipe, overrides)

    from manyviews.engine.pretrain import check
    from manyviews.look.views import views_figure

    made = views_figure(check(loaded), samples=samples, seed=seed)
    try:
        made.savefig(output, dpi=150)
    except OSError as error:
        raise UserError(f"--output: {output} could not be written ({error.strerror or error})") from error
    click.echo(output)
