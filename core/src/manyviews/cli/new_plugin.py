"""`manyviews new-plugin`: the package of a new domain, which works as it is."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("new-plugin", short_help="Write the package of a new domain.")
@click.argument("name")
@click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), default=Path(), help="Where to put it; default: here."
)
def command(name: str, folder: Path) -> None:
    """Write an installable package of the domain NAME (`sonar`) into the new folder manyviews-NAME.

    It works as it is, on toy data, and its tests pass; replace the source and the encoder by your own.
    """
    from manyviews.scaffold.new_plugin import YOURS, Names, new_plugin

    made, names = new_plugin(name, folder), Names(name)
    own = made / "src" / names.package
    click.echo(f"Wrote {made}. Next:\n")
    click.echo(f'  pip install -e "{_spelled(made)}[test]"')
    click.echo(f"  manyviews check-plugin {name}\n  manyviews demo {name}\n")
    click.echo("Then change, for data of your own:\n\n" + "\n".join(f"  {own / file}" for file in YOURS))


def _spelled(made: Path) -> str:
    """As pip takes it for a folder and not for a name."""
    return str(made) if made.is_absolute() else f"./{made}"
