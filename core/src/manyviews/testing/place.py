"""Where a plugin's author has to look when a check of the kit fails."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Sequence
from pathlib import Path
from traceback import FrameSummary
from typing import Any

from manyviews.errors import UserError
from manyviews.recipe.files import find_recipe
from manyviews.testing.bench import Bench
from manyviews.testing.kit import Kit
from manyviews.testing.subject import Subject, parts_of


def place_of(kit: type[Kit], test: str, case: object, bench: Bench | None, frames: Sequence[FrameSummary]) -> str:
    """`file:line (function)`: where the plugin's own code raised, else the method that the check is about.

    Args:
        kit: Whose test it is.
        test: Its name.
        case: What it was tried on, if anything.
        bench: The plugin at work, where the test had one.
        frames: The traceback, outermost first.
    """
    home = Path(str(importlib.import_module(kit.plugin).__file__)).parent
    raised = [frame for frame in frames if Path(frame.filename).is_relative_to(home)]
    if raised:
        return f"{_short(raised[-1].filename)}:{raised[-1].lineno} ({raised[-1].name})"
    found = _class(kit, case, bench)
    if found is None:
        return _recipe(case) or f"{_short(str(importlib.import_module(kit.plugin).__file__))}"
    return _method(found, kit.looks_elsewhere.get(test, kit.looks_at), home)


def _class(kit: type[Kit], case: object, bench: Bench | None) -> type[Any] | None:
    """The plugin's own class among those that a check is about."""
    subject = Subject.of(kit.plugin)
    if kit.kind == "source" and isinstance(case, str) and bench is not None:
        name = bench.settings(case)["data"]["source"]
        return subject.registry.component("source", name, subject.domain.name).load()
    own = [name for name in parts_of(case) if name.startswith(f"{subject.domain.name}/")]
    parts = [part for part in subject.registry.components() if part.name in own]
    best = next((part for name in own for part in parts if part.name == name), None)
    return best.load() if best is not None else None


def _method(cls: type[Any], name: str, home: Path) -> str:
    """The method where the plugin writes it; the class itself where it inherits it."""
    for owner in cls.__mro__:
        if name in vars(owner) and _file(owner).is_relative_to(home):
            return f"{_at(vars(owner)[name])} ({owner.__name__}.{name})"
    return f"{_at(cls)} ({cls.__name__}, which inherits `{name}`)"


def _at(thing: Any) -> str:
    function: Any = thing.fget if isinstance(thing, property) else getattr(thing, "__func__", thing)
    plain = inspect.unwrap(function)
    return f"{_short(inspect.getsourcefile(plain) or '?')}:{inspect.getsourcelines(plain)[1]}"


def _file(cls: type[Any]) -> Path:
    try:
        return Path(inspect.getsourcefile(cls) or "")
    except TypeError:  # a class of Python's own
        return Path()


def _recipe(case: object) -> str | None:
    try:
        return find_recipe(case).label if isinstance(case, str) else None
    except UserError:
        return None


def _short(path: str) -> str:
    """From the current folder where it lies below it."""
    relative = os.path.relpath(path)
    return path if relative.startswith(os.pardir) else relative
