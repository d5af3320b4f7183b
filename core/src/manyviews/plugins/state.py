"""What became of each installed plugin."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from manyviews.domain import Domain


class State(StrEnum):
    """Only an `ok` plugin's components and recipes can be used."""

    OK = "ok"
    INCOMPATIBLE = "incompatible"
    """Made for another version of manyviews. Not imported where its distribution's metadata say so."""
    BROKEN = "broken"
    """Raises when imported or asked, misspells a hook, or describes itself wrongly."""
    CONFLICT = "conflict"
    """Another distribution claims the same name; neither is imported."""
    DISABLED = "disabled"
    """Left out by `MANYVIEWS_PLUGINS`; not imported."""


@dataclass(frozen=True)
class Plugin:
    """An entry point of the group `manyviews`, and what became of it."""

    name: str
    """Of the entry point and so of the domain."""
    distribution: str
    version: str
    entry_point: str
    """The module it names."""
    state: State
    reason: str = ""
    """Why it is not `ok`, and what to do."""
    domain: Domain | None = None

    @property
    def components(self) -> list[str]:
        """The full names of its components, sorted; one name may stand for several kinds."""
        if self.domain is None:
            return []
        return sorted({f"{self.name}/{name}" for parts in self.domain.components.values() for name in parts})
