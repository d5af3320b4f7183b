"""`manyviews runs`: the run folders compared, tidied, resumed, and delivered to MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from manyviews.compare.records import Record
    from manyviews.errors import UserError
    from manyviews.track.run_file import RunFile

FOLDER = click.Path(path_type=Path, file_okay=False)


PARENT = click.option(
    "--runs", "parent", type=FOLDER, default=Path("runs"), show_default=True, help="Where to look without RUN."
)


@click.group(short_help="List, compare, resume, tidy runs; deliver them to MLflow.")
def command() -> None:
    """What became of the runs: list them, compare them, go on with one, clean up, deliver to MLflow what it lacks."""


def chosen_runs(function: Callable[..., None]) -> Callable[..., None]:
    """The options of the commands that read several runs."""
    for option in (
        click.option("--uri", help="An MLflow store to read in place of folders; by default the one that runs are tracked in."),
        click.option("--experiment", help="Runs of this MLflow experiment, in place of folders."),
        PARENT,
        click.argument("folders", nargs=-1, type=FOLDER, metavar="[RUN]..."),
    ):
        function = option(function)
    return function


def _records(folders: tuple[Path, ...], parent: Path, experiment: str | None, uri: str | None) -> list[Record]:
    from manyviews.compare.records import read_records
    from manyviews.errors import UserError

    found = read_records(folders, parent, experiment=experiment, uri=uri)
    if not found:
        raise UserError(f"there are no runs in {experiment or parent}; `manyviews pretrain` makes some")
    return found


@command.command("compare", short_help="Scores of runs, with intervals over seeds.")
@chosen_runs
@click.option("--metric", "metrics", multiple=True, metavar="PATTERN", help="Such as 'eval/*/accuracy'; can be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def compare_runs(
    folders: tuple[Path, ...], parent: Path, experiment: str | None, uri: str | None, metrics: tuple[str, ...], as_json: bool
) -> None:
    """Compare runs: those that differ in their seed alone are one column, its scores a mean with a 95% interval (Student's t).

    Without --metric: the results of `manyviews evaluate`, else the last evaluation in training.
    """
    from manyviews.cli.comparison import as_records, comparison
    from manyviews.compare.groups import choose_metrics, group_runs

    records = _records(folders, parent, experiment, uri)
    groups, chosen = group_runs(records), choose_metrics(records, metrics)
    if as_json:
        import json

        click.echo(json.dumps(as_records(groups, chosen), indent=2))
    else:
        click.echo(comparison(groups, chosen))


@command.command("best", short_help="The run with the best score.")
@chosen_runs
@click.option("--metric", required=True, metavar="NAME", help="Such as eval/linear_probe/accuracy.")
@click.option("--lower/--higher", default=None, help="Which way it is better, where its task does not say.")
def best_run(
    folders: tuple[Path, ...], parent: Path, experiment: str | None, uri: str | None, metric: str, lower: bool | None
) -> None:
    """Print the run whose last reading of a metric is best: its folder, or its name in the store."""
    import math

    from manyviews.compare.direction import is_lower, warning

    records = _records(folders, parent, experiment, uri)
    having = [record for record in records if math.isfinite(record.metrics.get(metric, math.nan))]
    if not having:
        raise _unknown(metric, records)
    less = is_lower(metric, lower)
    best = (min if less else max)(having, key=lambda record: record.metrics[metric])
    click.echo(best.name)
    click.echo(
        f"{metric} {best.metrics[metric]:.4g}, best of {len(having)} runs"
        + _dash(warning(metric, len({record.data for record in having}))),
        err=True,
    )


def _unknown(metric: str, records: list[Record]) -> UserError:
    from manyviews.compare.groups import choose_metrics
    from manyviews.errors import UserError
    from manyviews.plugins.suggest import did_you_mean

    return UserError(f"--metric: none of these runs has `{metric}`.{did_you_mean(metric, choose_metrics(records, ['*']))}")


def _dash(text: str) -> str:
    return f"; {text}" if text else ""


@command.command("leaderboard", short_help="Kinds of runs ranked, for each domain and data set.")
@chosen_runs
@click.option("--metric", required=True, metavar="NAME", help="Such as eval/linear_probe/accuracy.")
@click.option("--lower/--higher", default=None, help="Which way it is better, where its task does not say.")
@click.option("--domain", help="This domain alone.")
def leaderboard_of_runs(
    folders: tuple[Path, ...],
    parent: Path,
    experiment: str | None,
    uri: str | None,
    metric: str,
    lower: bool | None,
    domain: str | None,
) -> None:
    """Rank what was tried, the best mean over seeds first; a table for each domain and data set (by fingerprint)."""
    from manyviews.cli.comparison import leaderboard
    from manyviews.compare.direction import is_lower, warning
    from manyviews.compare.groups import group_runs

    records = _records(folders, parent, experiment, uri)
    boards: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        if domain in (None, record.domain) and metric in record.metrics:
            boards.setdefault((record.domain, record.data), []).append(record)
    if not boards:
        raise _unknown(metric, records)
    less = is_lower(metric, lower)
    click.echo("\n\n".join(leaderboard(board, group_runs(board), metric, less) for _, board in sorted(boards.items())))
    if warning(metric):
        click.echo(warning(metric), err=True)


@command.command("resume", short_help="Go on with a run.")
@click.argument("run", type=FOLDER)
def resume_run(run: Path) -> None:
    """Go on with RUN from its last checkpoint, by its own recipe; the same as `manyviews pretrain --resume RUN`."""
    from manyviews.cli.pretrain import tell
    from manyviews.engine.pretrain import pretrain

    tell(pretrain(resume=run))


@command.command("register", short_help="A run's encoder in MLflow's model registry.")
@click.argument("run", type=FOLDER)
@click.option("--name", help="Of the registered model; the experiment's with `-encoder` by default.")
@click.option("--alias", help="Moved to this version, such as champion.")
def register_run(run: Path, name: str | None, alias: str | None) -> None:
    """Register the encoder of RUN as a version of a model in MLflow, and say how it is served."""
    from manyviews.track.register import register
    from manyviews.track.run_file import RunFile

    place = register(run, name=name, alias=alias)
    click.echo(place)
    uri = RunFile.load(run).state.uri
    click.echo(f"Serve it: MLFLOW_TRACKING_URI={uri} mlflow models serve -m {place} --env-manager local", err=True)


@command.command("gc", short_help="Delete what runs can do without.")
@click.argument("folder", type=FOLDER, default=Path("runs"))
@click.option("--delete", is_flag=True, help="Delete it; without this it is only listed.")
def tidy_runs(folder: Path, delete: bool) -> None:
    """List, or delete, what the runs in FOLDER can do without: runs that ended without a checkpoint, checkpoints before
    the last (but the best one, `train.best`), checkpoints never finished. Runs that a process is writing are left alone,
    and so is MLflow (`mlflow gc`).
    """
    from manyviews.compare.tidy import find_waste, remove

    found = [(waste, waste.size) for waste in find_waste(folder)]
    for waste, size in found:
        click.echo(f"{waste.folder}  {size / 1e6:.1f} MB  {waste.why}")
        if delete:
            remove(waste)
    total = sum(size for _, size in found) / 1e6
    done = "deleted" if delete else "to be deleted by --delete"
    click.echo(f"{total:.1f} MB {done}" if found else f"Nothing in {folder} can go.")


@command.command("list", short_help="List the runs in a folder.")
@click.argument("folder", type=FOLDER, default=Path("runs"))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def list_runs(folder: Path, as_json: bool) -> None:
    """List the runs in FOLDER (`runs`), the oldest first."""
    from manyviews.track.run_file import NAME, RunFile
    from manyviews.track.sync import unsynced

    files = [RunFile.load(path.parent) for path in folder.glob(f"*/{NAME}")]
    behind = set(unsynced(folder))
    records = [_record(file, file.folder in behind) for file in sorted(files, key=lambda file: file.state.started)]
    if as_json:
        import json

        click.echo(json.dumps(records, indent=2))
    elif not records:
        click.echo(f"No runs in {folder}.")
    else:
        from manyviews.cli.table import table

        head = ("run", "started", "status", "checkpoint", "experiment", "tracked")
        click.echo(table(head, [["-" if record[key] is None else str(record[key]) for key in head] for record in records]))


def _record(file: RunFile, behind: bool) -> dict[str, object]:
    import time

    # Named here rather than through engine.checkpoint, which imports torch: a list should be there at once.
    saved = sorted(manifest.parent.name for manifest in file.folder.glob("checkpoints/step-*/manifest.json"))
    return {
        "run": str(file.folder),
        "started": time.strftime("%Y-%m-%d %H:%M", time.localtime(file.state.started / 1000)),
        "status": file.state.status,
        "checkpoint": int(saved[-1].removeprefix("step-")) if saved else None,
        "experiment": file.state.experiment,
        "tracked": "no" if file.state.uri is None else "not all" if behind else "yes",
    }


@command.command("sync", short_help="Deliver to MLflow what it lacks.")
@click.argument("folders", nargs=-1, type=FOLDER, metavar="[RUN]...")
@PARENT
@click.option("--uri", help="Another store than the one that the run was tracked with.")
def sync_runs(folders: tuple[Path, ...], parent: Path, uri: str | None) -> None:
    """Deliver to MLflow what it lacks of each RUN, or of all runs that were tracked."""
    from manyviews.track.sync import sync, unsynced

    chosen = list(folders) or unsynced(parent)
    for folder in chosen:
        click.echo(f"{folder}: {sync(folder, uri=uri)}")
    if not chosen:
        click.echo(f"MLflow has everything of the runs in {parent}.")
