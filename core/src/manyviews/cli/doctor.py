"""`manyviews doctor`: find what is wrong with data before training does."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(short_help="Find what is wrong with data.")
@click.argument("path")
@click.option("--domain", help="Ask this domain alone.")
def command(path: str, domain: str | None) -> int:
    """Look through the data at PATH, or under a URL, for files and values that would spoil a run.

    Every domain that knows this kind of data is asked. Exit status 1 where one of them finds something.
    """
    from manyviews.errors import UserError
    from manyviews.files import local
    from manyviews.plugins.note import Note
    from manyviews.plugins.registry import registry

    here = Path(local(path))
    if not here.exists():
        raise click.BadParameter(f"Path '{path}' does not exist.", param_hint="'PATH'")
    found = registry()
    if domain is not None:
        found.domain(domain, key="--domain")
    answers = [(plugin.name, findings) for plugin, findings in found.call("manyviews_doctor", domain, path=here)]
    if not answers:
        asked = domain or ", ".join(known.name for known in found.domains()) or "no domain is installed"
        raise UserError(f"{path}: none of the domains asked knows this kind of data ({asked})")
    wrong = False
    for name, findings in answers:
        faults = [line for line in findings if not isinstance(line, Note)]
        wrong |= bool(faults)
        told = [*findings] if faults else [*findings, "nothing wrong"]
        click.echo("\n".join(f"{name}: {line}" for line in told))
    return int(wrong)
