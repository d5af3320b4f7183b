"""`manyviews pretrain`: train an encoder without labels, as a recipe says."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Pretrain an encoder by a recipe.")
@click.argument("recipe", required=False)
@click.argument("overrides", nargs=-1, metavar="[KEY.PATH=VALUE]...")
@click.option("--resume", type=click.Path(path_type=Path), metavar="RUN", help="Go on with this run, by its own recipe.")
@click.option("--dry-run", is_flag=True, help="Check everything that needs no data, print the resolved recipe and stop.")
def command(recipe: str | None, overrides: tuple[str, ...], resume: Path | None, dry_run: bool) -> None:
    """Pretrain an encoder by RECIPE: an installed one (`tabular/t_jepa`) or a .yaml file.

    \b
    manyviews pretrain tabular/t_jepa data.path=table.csv optim.lr=1e-3
    manyviews pretrain mine.yaml evaluate.0.every=10 track=null
    manyviews pretrain --resume runs/tabular-t_jepa-20250101-120000
    """
    if (recipe is None) == (resume is None) or (dry_run and resume):
        raise click.UsageError("give a RECIPE, or a run to go on with: --resume RUN (it goes on by its own recipe)")
    if recipe is None:
        from manyviews.engine.pretrain import pretrain

        click.echo(pretrain(resume=resume).folder)
    elif dry_run:
        _check(recipe, overrides)
    else:
        _pretrain(recipe, overrides)


def _pretrain(recipe: str, overrides: tuple[str, ...]) -> None:
    from manyviews.recipe.load import load_recipe

    loaded = load_recipe(recipe, overrides)  # the recipe's keys are checked before torch is imported

    from manyviews.engine.pretrain import pretrain

    click.echo(pretrain(loaded).folder)


def _check(recipe: str, overrides: tuple[str, ...]) -> None:
    from manyviews.recipe.load import load_recipe, to_yaml

    loaded = load_recipe(recipe, overrides)

    from manyviews.engine.pretrain import check

    click.echo(to_yaml(check(loaded)), nl=False)
