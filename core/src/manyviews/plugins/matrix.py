"""Which objective runs on which domain, from what the installed components say of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from manyviews.objective import Unit
from manyviews.plugins.match import Facts, facts_of, first_pair, known_facts, lacking, said
from manyviews.plugins.registry import Registry, registry

UNITS: tuple[Unit, ...] = ("sample", "token")


@dataclass(frozen=True)
class Cell:
    """An objective on a domain."""

    objective: str
    domain: str
    runs: bool
    with_parts: tuple[str, str] | None
    """Views and an encoder with which it runs."""
    unit: Unit
    """`sample`, or `token` where it runs on tokens only."""
    why_not: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """What the objective has to be told, where its defaults ask for something that the domain has not."""


def matrix(found: Registry | None = None) -> list[Cell]:
    """Every objective on every usable domain; a domain's own objectives on that domain alone.

    Args:
        found: What is installed; None: everything that is.
    """
    found = found or registry()
    facts = {kind: known_facts(found, kind) for kind in ("views", "encoder")}
    objectives = {part.name: _asked(part.name, cls) for part, cls in found.loaded("objective")}
    cells: list[Cell] = []
    for domain in found.domains():
        views, encoders = _reach(facts["views"], domain.name), _reach(facts["encoder"], domain.name)
        names = [each.name for each in _reach([forms[0][0] for forms in objectives.values()], domain.name)]
        tried = [[_cell(asks, domain.name, views, encoders, form) for asks, form in objectives[name]] for name in names]
        cells += map(_best, tried)
    return cells


def _reach(facts: list[Facts], domain: str) -> list[Facts]:
    """The domain's own first, then the core's."""
    return [each for prefix in (domain, "") for each in facts if each.name.rpartition("/")[0] == prefix]


def _asked(name: str, cls: type[Any]) -> list[tuple[Facts, Mapping[str, Any]]]:
    """What an objective asks for by default, and in its other forms, with the parameters of each."""
    forms = [(facts_of(name, "objective", cls(**form)), form) for form in cls.forms.values()]
    return [(facts_of(name, "objective", cls), {}), *forms]


def _best(cells: list[Cell]) -> Cell:
    """The first form that runs; the default where none does."""
    return next((cell for cell in cells if cell.runs), cells[0])


def _cell(objective: Facts, domain: str, views: list[Facts], encoders: list[Facts], form: Mapping[str, Any]) -> Cell:
    for unit in UNITS:
        if pair := first_pair(objective, views, encoders, unit):
            return Cell(objective.name, domain, True, (pair[0].name, pair[1].name), unit, "", form)
    lacks = [lacking(objective, some, encoder, "sample") for some in views for encoder in encoders]
    why = f"needs {said(sorted(lacks, key=len)[0])}" if lacks else "the domain has no encoder or no views"
    return Cell(objective.name, domain, False, None, "sample", why)
