"""A domain's static description: what its plugin's hook returns. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

KINDS = ("source", "encoder", "views", "objective", "task", "downstream", "writer", "renderer")
"""The kinds of component that a plugin can bring."""


@dataclass(frozen=True)
class Domain:
    """What a plugin brings, as text: nothing named here is imported before it is built."""

    name: str
    """Prefix of its components (`graphs` in `graphs/gat`) and folder of its recipes."""
    summary: str
    """One line."""
    core: str
    """Core versions it works with, as a version specifier (`~=0.1`)."""
    components: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """kind -> name -> `module:attribute`; the kinds are `KINDS`."""
    recipes: str | None = None
    """`module:folder` of its recipes inside the installed package."""
    demo: str | None = None
    """`module:function` of its demo: takes a folder, prepares data in it and returns a `manyviews.demo.Demo`."""
    trial: str | None = None
    """`module:attribute` of its `manyviews.testing.trial.Trial`: the small data that the conformance kit runs it on."""
