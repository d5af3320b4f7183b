"""Looks up the installed plugins, one by one, so that no plugin can hide or break another.

The order of the checks is that of their cost and danger: what the metadata tell (disabled, conflict, incompatible) is
settled before anything is imported. pluggy's own bulk loader is not used: it has no try/except and skips a taken name
in silence.
"""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pluggy

from manyviews import hookspecs
from manyviews.domain import Domain
from manyviews.plugins.installed import Installed
from manyviews.plugins.state import Plugin, State
from manyviews.plugins.suggest import did_you_mean
from manyviews.plugins.validate import complaint
from manyviews.plugins.versions import core_satisfies, core_version

CRASHES = (Exception, SystemExit)
"""What a plugin may throw at us when imported or asked, and is then broken for. A Ctrl-C is the user's own."""


class Manager(pluggy.PluginManager):
    """pluggy's manager, which looks at every name in a module; those with an underscore, most of them, are never hooks."""

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> pluggy.HookimplOpts | None:
        return None if name.startswith("_") else super().parse_hookimpl_opts(plugin, name)


class Selection:
    """`MANYVIEWS_PLUGINS`: names of domains or distributions, commas between them; `-name` leaves one out.

    With names, only those are loaded; with `-name` alone, all but those; empty: all.
    """

    def __init__(self, text: str) -> None:
        words = [word.strip() for word in text.split(",") if word.strip()]
        self.only = {word for word in words if not word.startswith("-")}
        self.without = {word[1:] for word in words if word.startswith("-")}

    def excludes(self, plugin: Installed) -> bool:
        names = {plugin.name, plugin.distribution}
        return bool(self.without & names) or bool(self.only and not self.only & names)

    def unknown(self, found: Sequence[Installed]) -> list[str]:
        """Names that no installed plugin has."""
        known = {name for plugin in found for name in (plugin.name, plugin.distribution)}
        return sorted((self.only | self.without) - known)


def load_all(found: Sequence[Installed], selection: Selection, manager: pluggy.PluginManager) -> list[Plugin]:
    """Each plugin with its state; those that are `ok` are registered in `manager`."""
    claims = Counter(plugin.name for plugin in found if not selection.excludes(plugin))
    return [_load(plugin, found, claims, selection, manager) for plugin in found]


def _load(
    plugin: Installed, found: Sequence[Installed], claims: Counter[str], selection: Selection, manager: pluggy.PluginManager
) -> Plugin:
    def result(state: State, reason: str = "", domain: Domain | None = None) -> Plugin:
        return Plugin(plugin.name, plugin.distribution, plugin.version, plugin.module, state, reason, domain)

    if selection.excludes(plugin):
        return result(State.DISABLED, "left out by MANYVIEWS_PLUGINS")
    if claims[plugin.name] > 1:
        return result(State.CONFLICT, _conflict(plugin, found, selection))
    try:
        if (reason := _incompatible(plugin)) is not None:
            return result(State.INCOMPATIBLE, reason)
        domain = _ask(plugin, manager)
        if not core_satisfies(f"manyviews{domain.core}"):
            _forget(plugin, manager)
            return result(State.INCOMPATIBLE, _wants(f"manyviews{domain.core}", plugin))
    except CRASHES as error:
        _forget(plugin, manager)
        return result(State.BROKEN, _broken(plugin, error))
    return result(State.OK, domain=domain)


def _conflict(plugin: Installed, found: Sequence[Installed], selection: Selection) -> str:
    rivals = sorted({rival.distribution for rival in found if rival.name == plugin.name and not selection.excludes(rival)})
    fix = f"uninstall one of them, or set MANYVIEWS_PLUGINS=-{rivals[-1]}"
    return f"{' and '.join(rivals)} both claim the domain `{plugin.name}`; {fix}"


def _incompatible(plugin: Installed) -> str | None:
    """Judged by the distribution's own requirement, before import: an old plugin may not even be importable."""
    unmet = [requirement for requirement in plugin.requires_core if not core_satisfies(requirement)]
    return _wants(unmet[0], plugin) if unmet else None


def _wants(requirement: str, plugin: Installed) -> str:
    return f"wants {requirement}, installed is {core_version()}; pip install --upgrade {plugin.distribution} manyviews"


def _ask(plugin: Installed, manager: pluggy.PluginManager) -> Domain:
    """Import, register, look for misspelt hooks, and ask for the description."""
    module = importlib.import_module(plugin.module)
    manager.register(module, name=plugin.name)
    manager.check_pending()
    answers: list[Any] = call_one(manager, "manyviews_domain", plugin.name)
    if len(answers) != 1:
        raise TypeError("it has no manyviews_domain() marked with @hookimpl that returns its Domain")
    if (wrong := complaint(answers[0], plugin.name)) is not None:
        raise TypeError(wrong)
    domain: Domain = answers[0]
    return domain


def call_one(manager: pluggy.PluginManager, hook: str, name: str, **arguments: Any) -> list[Any]:
    """The results of one plugin's implementations of a hook: none, or one. What they raise is raised."""
    others = [module for other, module in manager.list_name_plugin() if other != name and module is not None]
    results: list[Any] = manager.subset_hook_caller(hook, others)(**arguments)
    return results


def _forget(plugin: Installed, manager: pluggy.PluginManager) -> None:
    if manager.has_plugin(plugin.name):
        manager.unregister(name=plugin.name)


def _broken(plugin: Installed, error: BaseException) -> str:
    fix = f"pip install --upgrade {plugin.distribution}, or set MANYVIEWS_PLUGINS=-{plugin.name}"
    if isinstance(error, pluggy.PluginValidationError):
        return f"{_bad_hook(error)}; {fix}"
    if isinstance(error, ModuleNotFoundError):
        return f"needs `{error.name}`, which is not installed; {fix}"
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}; {fix}"


def _bad_hook(error: pluggy.PluginValidationError) -> str:
    """pluggy's complaint in one line; for an unknown hook with the one that was probably meant."""
    words = " ".join(str(error).split())
    unknown = re.search(r"unknown hook '(\w+)'", words)
    if unknown is None:
        return words
    hooks = [name for name in vars(hookspecs) if name.startswith("manyviews_")]
    return f"there is no hook `{unknown[1]}`.{did_you_mean(unknown[1], hooks)}"
