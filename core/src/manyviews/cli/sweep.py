"""`manyviews sweep`: one recipe with many values, or several recipes, compared over seeds."""

from __future__ import annotations

from pathlib import Path

import click

from manyviews.cli.options import engine_option


@click.command(short_help="Try choices and ranges of a recipe's values.")
@click.argument("recipes", metavar="RECIPE[,RECIPE]...", required=False)
@click.argument("arguments", nargs=-1, metavar="[KEY=VALUE | KEY=A,B | KEY=LOW..HIGH[:log]]...")
@click.option("--metric", metavar="NAME", help="What ranges are searched by, such as eval/linear_probe/accuracy.")
@click.option("--lower/--higher", default=None, help="Which way it is better, where its task does not say.")
@click.option(
    "--trials", type=click.IntRange(min=1), help="Runs to make, where there are ranges; choices alone: every combination."
)
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that work side by side.")
@engine_option
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), default=Path("sweeps"), show_default=True)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the search (not of the runs).")
@click.option(
    "--resume", type=click.Path(path_type=Path, file_okay=False), metavar="SWEEP", help="Go on with this sweep's folder."
)
def command(
    recipes: str | None,
    arguments: tuple[str, ...],
    metric: str | None,
    lower: bool | None,
    trials: int | None,
    workers: int,
    engine: str,
    folder: Path,
    seed: int,
    resume: Path | None,
) -> None:
    """Run a recipe with every combination of choices, or search ranges (Optuna's TPE), and compare what came out.

    \b
    manyviews sweep tabular/scarf,tabular/vime train.seed=0,1,2 data.path=adult.csv data.target=income
    manyviews sweep graphs/graphmae data.path=Cora optim.lr=1e-4..1e-2:log --trials 20 \\
        --metric eval/node_classification/accuracy --workers 2

    Each run stands in the sweep's folder and, tracked, below the sweep's own run in MLflow. An interrupted sweep goes on
    with --resume.
    """
    from manyviews.sweep.plan import require_optuna

    if (recipes is None) == (resume is None):
        raise click.UsageError("give a RECIPE, or a sweep to go on with: --resume SWEEP")
    require_optuna()
    if resume is None:
        assert recipes is not None
        resume = _begin(recipes, arguments, metric, lower, trials, folder, seed)
        click.echo(resume)

    from manyviews.sweep.sweep import run_sweep

    run_sweep(resume, workers=workers, ray=engine == "ray", say=click.echo)


def _begin(
    recipes: str,
    arguments: tuple[str, ...],
    metric: str | None,
    lower: bool | None,
    trials: int | None,
    folder: Path,
    seed: int,
) -> Path:
    from manyviews.compare.direction import is_lower
    from manyviews.errors import UserError
    from manyviews.sweep.space import parse_space
    from manyviews.sweep.sweep import new_sweep

    space = parse_space(recipes, arguments)
    if space.ranges and metric is None:
        raise UserError(f"--metric: by what are {', '.join(space.ranges)} to be chosen? Such as eval/linear_probe/accuracy")
    chosen = metric or "train/loss"
    return new_sweep(space, folder, metric=chosen, lower=is_lower(chosen, lower), trials=trials, seed=seed)
