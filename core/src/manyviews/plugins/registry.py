"""Everything that recipes can name: the core's own components and those of the plugins that are `ok`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import pluggy

from manyviews import hookspecs
from manyviews.domain import Domain
from manyviews.errors import PluginError, RecipeError
from manyviews.plugins.component import Component
from manyviews.plugins.core import CORE
from manyviews.plugins.discover import CRASHES, Manager, Selection, call_one, load_all
from manyviews.plugins.installed import Installed, installed_plugins
from manyviews.plugins.state import Plugin, State
from manyviews.plugins.suggest import did_you_mean

OFFICIAL = frozenset({"graphs", "medical", "satellite", "speech", "tabular"})
"""Domains that this project publishes as `manyviews-<domain>`. No other name is ever offered to pip."""


class Registry:
    """What is installed. Made once a process by `registry()`."""

    def __init__(self, found: Sequence[Installed], selection: Selection) -> None:
        manager = Manager("manyviews")
        manager.add_hookspecs(hookspecs)
        self.plugins: tuple[Plugin, ...] = tuple(load_all(found, selection, manager))
        self.unknown_selected = selection.unknown(found)
        self._manager = manager
        self._components = {(part.kind, part.name): part for part in self._all_components()}

    @property
    def hook(self) -> pluggy.HookRelay:
        """pluggy's relay. Prefer `call`: through the relay one raising implementation discards the others' results."""
        return self._manager.hook

    def call(self, hook: str, only: str | None = None, /, **arguments: Any) -> list[tuple[Plugin, Any]]:
        """Call a hook of every `ok` plugin (of the domain `only`), each on its own, and return what they answer.

        A plugin that raises costs one line on stderr; the others' answers stand. None is no answer.
        """
        results = []
        for plugin in self._ok():
            if only not in (None, plugin.name):
                continue
            try:
                answers = call_one(self._manager, hook, plugin.name, **arguments)
            except CRASHES as error:
                say(f"{plugin.distribution}: {hook} raised {type(error).__name__}: {' '.join(str(error).split())[:300]}")
            else:
                results += [(plugin, answer) for answer in answers]
        return results

    def domain(self, name: str, key: str = "domain") -> Domain:
        """An installed domain.

        Raises:
            RecipeError: It is not installed or not usable; says why and what to do.
        """
        for plugin in self._ok():
            if plugin.name == name and plugin.domain is not None:
                return plugin.domain
        raise RecipeError(f"{key}: {self._why_no_domain(name)}", key=key)

    def domains(self) -> list[Domain]:
        """All usable domains, by name."""
        return [plugin.domain for plugin in self._ok() if plugin.domain is not None]

    def component(self, kind: str, name: str, domain: str | None = None, key: str = "") -> Component:
        """A component by name. A bare name is looked up among the core's, then among those of `domain`.

        Raises:
            RecipeError: There is none; says which there are.
        """
        for full in (name, f"{domain}/{name}"):
            if (part := self._components.get((kind, full))) is not None:
                return part
        raise RecipeError(f"{key or kind}: {self._why_no_component(kind, name, domain)}", key=key)

    def components(self, kind: str | None = None) -> list[Component]:
        """All components (of a kind), the core's first, then by domain and name."""
        parts = [part for part in self._components.values() if kind in (None, part.kind)]
        return sorted(parts, key=lambda part: ("/" in part.name, part.kind, part.name))

    def loaded(self, kind: str) -> Iterator[tuple[Component, type[Any]]]:
        """The components of a kind with their classes. One that cannot be imported costs a line on stderr."""
        for part in self.components(kind):
            try:
                yield part, part.load()
            except PluginError as error:
                say(str(error))

    def _ok(self) -> list[Plugin]:
        return [plugin for plugin in self.plugins if plugin.state is State.OK]

    def _all_components(self) -> Iterator[Component]:
        for kind, parts in CORE.items():
            yield from (Component(kind, name, path, "manyviews") for name, path in parts.items())
        for plugin in self._ok():
            assert plugin.domain is not None
            for kind, parts in plugin.domain.components.items():
                for name, path in parts.items():
                    yield Component(kind, f"{plugin.name}/{name}", path, plugin.distribution)

    def _why_no_domain(self, name: str) -> str:
        names = [domain.name for domain in self.domains()]
        for plugin in self.plugins:
            if plugin.name == name:
                return f"domain `{name}` cannot be used, {plugin.distribution} is {plugin.state}: {plugin.reason}"
        if name in OFFICIAL:
            return f"domain `{name}` is not installed; pip install manyviews-{name}"
        installed = ", ".join(names) or "none"
        return f"there is no domain `{name}`.{did_you_mean(name, [*names, *sorted(OFFICIAL)])}\n  Installed: {installed}"

    def _why_no_component(self, kind: str, name: str, domain: str | None) -> str:
        prefix = name.rpartition("/")[0]
        if prefix and prefix not in {known.name for known in self.domains()}:
            return self._why_no_domain(prefix)
        reach = [part.name for part in self.components(kind) if part.name.rpartition("/")[0] in ("", prefix or domain)]
        shown = [full.removeprefix(f"{domain}/") if not prefix else full for full in reach]
        other = [what for what, full in self._components if what != kind and full in (name, f"{domain}/{name}")]
        hint = f" `{name}` is of kind {other[0]}." if other else did_you_mean(name, shown)
        return f"there is no component `{name}` of kind {kind}.{hint}\n  There are: {', '.join(sorted(shown)) or 'none'}"


def say(line: str) -> None:
    """One line on stderr. (`logging` takes longer to import than fifty plugins.)"""
    print(f"manyviews: {line}", file=sys.stderr)


@cache
def registry() -> Registry:
    """The installed plugins and all components, looked up once; each plugin that is not usable is told in one line."""
    found = installed_plugins()
    made = Registry(found, Selection(os.environ.get("MANYVIEWS_PLUGINS", "")))
    for plugin in made.plugins:
        if plugin.state not in (State.OK, State.DISABLED):
            say(f"plugin {plugin.distribution} {plugin.version} is {plugin.state}: {plugin.reason}")
    for name in made.unknown_selected:
        known = [label for plugin in found for label in (plugin.name, plugin.distribution)]
        say(f"MANYVIEWS_PLUGINS names `{name}`, which is not installed.{did_you_mean(name, known)}")
    return made
