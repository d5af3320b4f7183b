"""`manyviews plugins`: what is installed, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from manyviews.plugins.state import Plugin


@click.command(short_help="List the installed plugins and their state.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def command(as_json: bool) -> None:
    """List the installed plugins, their state and their components.

    MANYVIEWS_PLUGINS=tabular,graphs loads those alone (names of domains or of distributions); MANYVIEWS_PLUGINS=-graphs
    loads all others.
    """
    from manyviews.plugins.registry import registry

    found = registry().plugins
    if as_json:
        import json

        click.echo(json.dumps([_record(plugin) for plugin in found], indent=2))
    elif not found:
        click.echo("No plugins are installed; pip install manyviews-tabular, for example.")
    else:
        from manyviews.cli.table import table

        rows = [(one.name, one.distribution, one.version, str(one.state), one.reason or _components(one)) for one in found]
        click.echo(table(("domain", "distribution", "version", "state", "components, or what is wrong"), rows))


def _components(plugin: Plugin) -> str:
    names = [name.partition("/")[2] for name in plugin.components]
    return f"{len(names)}: {', '.join(names)}" if names else "none"


def _record(plugin: Plugin) -> dict[str, object]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "state": str(plugin.state),
        "reason": plugin.reason,
        "summary": plugin.domain.summary if plugin.domain else "",
        "components": plugin.components,
    }
