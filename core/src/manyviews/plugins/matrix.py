"""Which objective runs on which domain, from what the installed components say of themselves."""

from __future__ import annotations

from dataclasses import dataclass

from manyviews.objective import Unit
from manyviews.plugins.match import Facts, first_pair, known_facts, lacking, said
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


def matrix(found: Registry | None = None) -> list[Cell]:
    """Every objective on every usable domain; a domain's own objectives on that domain alone.

    Args:
        found: What is installed; None: everything that is.
    """
    found = found or registry()
    facts = {kind: known_facts(found, kind) for kind in ("objective", "views", "encoder")}
    cells = []
    for domain in found.domains():
        views, encoders = _reach(facts["views"], domain.name), _reach(facts["encoder"], domain.name)
        cells += [_cell(each, domain.name, views, encoders) for each in _reach(facts["objective"], domain.name)]
    return cells


def _reach(facts: list[Facts], domain: str) -> list[Facts]:
    """The domain's own first, then the core's."""
    return [each for prefix in (domain, "") for each in facts if each.name.rpartition("/")[0] == prefix]


def _cell(objective: Facts, domain: str, views: list[Facts], encoders: list[Facts]) -> Cell:
    for unit in UNITS:
        if pair := first_pair(objective, views, encoders, unit):
            return Cell(objective.name, domain, True, (pair[0].name, pair[1].name), unit, "")
    lacks = [lacking(objective, some, encoder, "sample") for some in views for encoder in encoders]
    why = f"needs {said(sorted(lacks, key=len)[0])}" if lacks else "the domain has no encoder or no views"
    return Cell(objective.name, domain, False, None, "sample", why)
