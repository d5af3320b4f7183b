"""`manyviews demo`: the whole way on real data, with nothing to prepare."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Pretrain and evaluate on bundled data, in minutes.")
@click.argument("domain", required=False)
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), default=Path("demo"), show_default=True)
def command(domain: str | None, folder: Path) -> None:
    """Pretrain an encoder of DOMAIN on real data, evaluate it and say where to look. Without DOMAIN: an installed one."""
    from manyviews.demo import run_demo

    run_demo(domain, folder, click.echo)
