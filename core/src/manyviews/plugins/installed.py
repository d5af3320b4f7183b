"""Which distributions bring a plugin, read from their metadata alone: nothing is imported here.

`Distribution.name`, `.version` and `.requires` each parse the whole METADATA file as an e-mail, a third of a
millisecond a time. The three header fields are therefore picked out of the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

GROUP = "manyviews"
_FIELD = re.compile(r"^(Name|Version|Requires-Dist):[ \t]*(.*?)[ \t]*$", re.MULTILINE)
_ON_CORE = re.compile(r"manyviews\s*(?:[\[\(<>=!~;@]|$)", re.IGNORECASE)


@dataclass(frozen=True)
class Installed:
    """An entry point of the group, and what its distribution says of itself."""

    name: str
    module: str
    distribution: str
    version: str
    requires_core: tuple[str, ...]
    """Its requirements on `manyviews`, as PEP 508 text."""


def installed_plugins() -> list[Installed]:
    """All entry points of the group, by name, then by distribution."""
    found = [_describe(entry) for entry in entry_points(group=GROUP)]
    return sorted(found, key=lambda plugin: (plugin.name, plugin.distribution))


def _describe(entry: EntryPoint) -> Installed:
    text = (entry.dist.read_text("METADATA") or entry.dist.read_text("PKG-INFO") or "") if entry.dist else ""
    header = text.replace("\r\n", "\n").partition("\n\n")[0]
    fields = _FIELD.findall(header)
    single = dict(reversed(fields))
    requires = tuple(value for key, value in fields if key == "Requires-Dist" and _ON_CORE.match(value))
    return Installed(entry.name, entry.value, single.get("Name", "?"), single.get("Version", "?"), requires)
