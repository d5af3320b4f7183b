"""`manyviews demo`: the whole way of a domain, with nothing to prepare."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Pretrain, evaluate, report: a domain's whole way in minutes.")
@click.argument("domain", required=False)
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), default=Path("demo"), show_default=True)
def command(domain: str | None, folder: Path) -> None:
    """Pretrain, evaluate and report an encoder of DOMAIN (`tabular` by default) on data that it brings, in minutes and with
    nothing to prepare.
    """
    from manyviews.demo import run_demo

    run_demo(domain, folder, click.echo)
