"""`manyviews check-plugin`: everything that the core relies on in a plugin, each failure with the place to look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from manyviews.plugins.state import Plugin
    from manyviews.testing.check import Failure, Outcome


KITS = ("plugin", "sources", "encoders", "views", "renderers", "objectives", "recipes", "matrix")
"""Those of `manyviews.testing.check`, which imports torch."""


@click.command("check-plugin", short_help="Check a plugin against all that the core relies on.")
@click.argument("name", required=False)
@click.option("--only", "kits", multiple=True, metavar="KIT", help=f"This kit alone, of {', '.join(KITS)}; can be repeated.")
@click.option("--quick", is_flag=True, help="Leave out what takes long: several processes, resuming, training by the engine.")
def command(name: str | None, kits: tuple[str, ...], quick: bool) -> int:
    """Run the conformance kit on the installed domain NAME, or on every installed domain.

    It runs on the small data that the plugin's `Domain.trial` names. Of what does not hold is said what was expected and where
    to look. Exit status 1 where anything does not hold. Needs pytest: pip install 'manyviews[testing]'.
    """
    from manyviews.errors import UserError

    if unknown := [kit for kit in kits if kit not in KITS]:
        raise UserError(f"--only: there is no kit `{unknown[0]}`; there are {', '.join(KITS)}")
    plugins = _chosen(name)
    try:
        import pytest  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError("check-plugin needs pytest; pip install 'manyviews[testing]'") from error
    return max([_check(plugin, kits, quick) for plugin in plugins])


def _chosen(name: str | None) -> list[Plugin]:
    from manyviews.errors import UserError
    from manyviews.plugins.registry import registry
    from manyviews.plugins.state import State

    found = registry()
    if name is not None:
        found.domain(name, key="check-plugin")
    usable = [plugin for plugin in found.plugins if plugin.state is State.OK and name in (None, plugin.name)]
    if not usable:
        raise UserError("no plugin is installed; `manyviews new-plugin NAME` writes one, `pip install -e` installs it")
    return usable


def _check(plugin: Plugin, kits: tuple[str, ...], quick: bool) -> int:
    import time

    from manyviews.testing.check import check_plugin
    from manyviews.testing.subject import Subject

    click.echo(f"{plugin.name}, of {plugin.distribution} {plugin.version}")
    Subject.of(plugin.entry_point)  # what is wrong with the description itself is an error of one line
    began = time.monotonic()
    outcomes = check_plugin(plugin.entry_point, only=kits, quick=quick, done=lambda outcome: click.echo(_line(outcome)))
    failures = [failure for outcome in outcomes for failure in outcome.failures]
    for group in _alike(failures):
        click.echo(f"\n{_told(group)}")
    excepted = [line for outcome in outcomes for line in outcome.excepted]
    click.echo("".join(f"\nExcepted by its trial: {line}" for line in excepted))
    click.echo(_sum(outcomes, time.monotonic() - began))
    return int(bool(failures))


def _line(outcome: Outcome) -> str:
    counts = [f"{outcome.held:>4} hold"]
    counts += [f"{len(outcome.failures)} do not"] if outcome.failures else []
    counts += [f"{outcome.left_out} do not apply"] if outcome.left_out else []
    return f"  {outcome.kit:<11} {', '.join(counts)}"


def _alike(failures: list[Failure]) -> list[list[Failure]]:
    """The same check at the same place fails in many forms at once: told once."""
    groups: dict[tuple[str, str, str], list[Failure]] = {}
    for failure in failures:
        groups.setdefault((failure.kit, failure.check, failure.place), []).append(failure)
    return list(groups.values())


def _told(group: list[Failure]) -> str:
    first = group[0]
    cases = [failure.case for failure in group if failure.case]
    tried = f" ({', '.join(cases[:3])}{f' and {len(cases) - 3} more' if len(cases) > 3 else ''})" if cases else ""
    return f"{first.kit}: not so: {first.check}{tried}\n  {first.message}\n  look at {first.place}"


def _sum(outcomes: list[Outcome], seconds: float) -> str:
    held, failed = sum(one.held for one in outcomes), sum(len(one.failures) for one in outcomes)
    words = "all hold" if not failed else f"{failed} do not hold; begin with the first, others may follow from it"
    return f"{held + failed} checks in {seconds:.0f} s, {words}"
