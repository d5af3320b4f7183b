"""`manyviews runs`: the run folders, and their delivery to MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from manyviews.track.run_file import RunFile

FOLDER = click.Path(path_type=Path, file_okay=False)


@click.group(short_help="List runs, or deliver them to MLflow.")
def command() -> None:
    """List the runs, or deliver to MLflow what it does not have yet."""


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
@click.option("--runs", "parent", type=FOLDER, default=Path("runs"), show_default=True, help="Where to look without RUN.")
@click.option("--uri", help="Another store than the one that the run was tracked with.")
def sync_runs(folders: tuple[Path, ...], parent: Path, uri: str | None) -> None:
    """Deliver to MLflow what it lacks of each RUN, or of all runs that were tracked."""
    from manyviews.track.sync import sync, unsynced

    chosen = list(folders) or unsynced(parent)
    for folder in chosen:
        click.echo(f"{folder}: {sync(folder, uri=uri)}")
    if not chosen:
        click.echo(f"MLflow has everything of the runs in {parent}.")
