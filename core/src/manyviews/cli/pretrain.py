"""`manyviews pretrain`: train an encoder without labels, as a recipe says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from manyviews.engine.run import Run


@click.command(short_help="Pretrain an encoder by a recipe.")
@click.argument("recipe", required=False)
@click.argument("overrides", nargs=-1, metavar="[KEY.PATH=VALUE]...")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with this run, by its own recipe.")
@click.option(
    "--run",
    "folder",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The run's folder: begun where it is not there, gone on with where it is. For jobs that are requeued.",
)
@click.option("--dry-run", is_flag=True, help="Check everything that needs no data, print the resolved recipe and stop.")
def command(recipe: str | None, overrides: tuple[str, ...], resume: Path | None, folder: Path | None, dry_run: bool) -> None:
    """Pretrain an encoder by RECIPE: an installed one (`tabular/t_jepa`) or a .yaml file.

    \b
    manyviews pretrain tabular/t_jepa data.path=table.csv optim.lr=1e-3
    manyviews pretrain mine.yaml evaluate.0.every=10 track=null
    manyviews pretrain --resume runs/tabular-t_jepa-20250101-120000 train.devices=1
    """
    place = tuple(filter(None, (recipe, *overrides)))
    if resume is not None and not dry_run and folder is None and all("=" in given for given in place):
        _resume(resume, place)
    elif recipe is None or resume is not None:
        raise click.UsageError("give a RECIPE, or a run to go on with: --resume RUN (it goes on by its own recipe)")
    elif dry_run:
        _check(recipe, overrides)
    else:
        _pretrain(recipe, overrides, folder)


def _resume(run: Path, place: tuple[str, ...]) -> None:
    from manyviews.recipe.overrides import override_tree
    from manyviews.recipe.tree import plain

    given = plain(override_tree(place))

    from manyviews.engine.pretrain import pretrain

    tell(pretrain(resume=run, **given))


def _pretrain(recipe: str, overrides: tuple[str, ...], folder: Path | None) -> None:
    from manyviews.recipe.load import load_recipe

    loaded = load_recipe(recipe, overrides)  # the recipe's keys are checked before torch is imported

    from manyviews.engine.pretrain import pretrain

    tell(pretrain(loaded, folder=folder))


def tell(run: Run) -> None:
    """The run's folder on stdout, for scripts; how it ended, and what to do next, on stderr. The first process alone."""
    from manyviews.distributed import rank

    if rank() > 0:
        return
    click.echo(run.folder)
    if run.stopped is not None:
        click.echo(f"Stopped by {run.stopped.name}; go on with: manyviews pretrain --resume {run.folder}", err=True)
        sys.exit(128 + run.stopped)  # as shells have it
    judged = run.recipe.evaluate  # a recipe without tasks (despeckling) has nothing that `evaluate` could run
    step = f"evaluate {run.folder}" if judged else f"embed {run.folder} DATA -o vectors.parquet"
    click.echo(f"Next: manyviews {step}", err=True)


def _check(recipe: str, overrides: tuple[str, ...]) -> None:
    from manyviews.recipe.load import load_recipe, to_yaml

    loaded = load_recipe(recipe, overrides)

    from manyviews.engine.pretrain import check

    click.echo(to_yaml(check(loaded)), nl=False)
