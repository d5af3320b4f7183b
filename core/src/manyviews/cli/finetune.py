"""`manyviews finetune`: a pretrained encoder on labelled data, beside the same one from scratch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from manyviews.finetuning.study import Study


@click.command(short_help="Finetune a run's encoder on labelled data.")
@click.argument("run", required=False)
@click.argument("settings", nargs=-1, metavar="[RECIPE] [KEY.PATH=VALUE]...")
@click.option("--resume", type=click.Path(path_type=Path), metavar="FOLDER", help="Go on with this finetuning.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def command(run: str | None, settings: tuple[str, ...], resume: Path | None, as_json: bool) -> None:
    """Finetune the encoder of RUN (a run or checkpoint folder), beside the same encoder trained from scratch.

    RECIPE holds settings (a name or a .yaml file); keys of `data` are laid over those of the run.

    \b
    manyviews finetune runs/tabular-t_jepa-… data.path=labelled.csv data.target=income labels=[5%,100%] seeds=3
    manyviews finetune runs/medical-… task.name=segmentation method=lora lora.rank=4 labels=4
    manyviews finetune --resume runs/tabular-finetune-…
    """
    if (run is None) == (resume is None):
        raise click.UsageError("give a RUN, or a finetuning to go on with: --resume FOLDER (it goes on by its own settings)")
    recipe = settings[0] if settings and "=" not in settings[0] else None
    from manyviews.recipe.finetune import load_finetune

    overrides = settings[1:] if recipe else settings
    if run is not None:
        load_finetune(run, recipe, overrides)  # keys are checked before torch is imported
    from manyviews.finetuning.study import finetune

    study = finetune(run, recipe, resume=resume, overrides=overrides)
    _tell(study, as_json)


def _tell(study: Study, as_json: bool) -> None:
    """The table on stdout; the folder, and what to do next, on stderr. The first process alone."""
    from manyviews.distributed import rank

    if rank() > 0:
        return
    table = study.table()
    click.echo(table.to_json() if as_json else table.text())
    if study.stopped is not None:
        click.echo(f"Stopped by {study.stopped.name}; go on with: manyviews finetune --resume {study.folder}", err=True)
        sys.exit(128 + study.stopped)
    click.echo(f"Finetuning: {study.folder}\nNext: manyviews predict {study.folder} DATA -o FILE", err=True)
