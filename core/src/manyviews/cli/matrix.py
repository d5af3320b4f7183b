"""`manyviews matrix`: which objective runs on which domain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from manyviews.plugins.matrix import Cell


@click.command(short_help="Print which objective runs on which domain.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list, a record for each objective and domain.")
def command(as_json: bool) -> None:
    """Print which objective runs on which domain, and why one does not.

    Judged from what the installed components say of themselves: an objective runs where the
    domain or the core has views and an encoder that give what it needs, with its default parameters or with those named.
    """
    from manyviews.plugins.matrix import matrix

    cells = matrix()
    if as_json:
        import json
        from dataclasses import asdict

        click.echo(json.dumps([asdict(cell) for cell in cells], indent=2))
    elif not cells:
        click.echo("No domain is installed; pip install manyviews-tabular, for example.")
    else:
        click.echo(_text(cells))


def _text(cells: list[Cell]) -> str:
    from manyviews.cli.table import table

    domains = sorted({cell.domain for cell in cells})
    by_place = {(cell.objective, cell.domain): cell for cell in cells}
    objectives = sorted({cell.objective for cell in cells}, key=lambda name: ("/" in name, name))
    rows = [(name, *(_mark(by_place.get((name, domain))) for domain in domains)) for name in objectives]
    examples = [_line(cell) for cell in cells]
    count = f"{sum(cell.runs for cell in cells)} of {len(cells)} cells run."
    return "\n".join([table(("objective", *domains), rows), "", count, "", *examples])


def _mark(cell: Cell | None) -> str:
    return "-" if cell is None else "runs" if cell.runs else "cannot"


def _line(cell: Cell) -> str:
    if cell.with_parts is None:
        return f"{cell.objective} on {cell.domain} cannot run: {cell.why_not}"
    views, encoder = cell.with_parts
    token = " on `unit: token`" if cell.unit == "token" else ""
    told = "".join(f" with `{key}: {value}`" for key, value in cell.parameters.items())
    return f"{cell.objective} on {cell.domain} runs{told}{token}, with views {views} and encoder {encoder}"
