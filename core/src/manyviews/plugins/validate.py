"""Is what a plugin's hook returned a description that the core can rely on?"""

from __future__ import annotations

import re
from typing import Any

from manyviews.domain import KINDS, Domain
from manyviews.plugins.suggest import did_you_mean

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_FOLDER = re.compile(r"[A-Za-z_][\w.]*:[\w./-]+")


def complaint(found: Any, entry_name: str) -> str | None:
    """What is wrong with the description, as half a sentence for the plugin's author; None where nothing is."""
    if not isinstance(found, Domain):
        return f"manyviews_domain() returned {found!r:.80} instead of a manyviews.domain.Domain"
    if found.name != entry_name:
        return f"its entry point is named `{entry_name}` but its Domain `{found.name}`; give both one name"
    if not _NAME.fullmatch(found.name):
        return f"`{found.name}` is no name for a domain; use lower-case letters, digits and _"
    if found.recipes is not None and not _FOLDER.fullmatch(str(found.recipes)):
        return f"Domain.recipes is {found.recipes!r}; write `module:folder`"
    if found.demo is not None and not _PATH.fullmatch(str(found.demo)):
        return f"Domain.demo is {found.demo!r}; write `module:attribute`"
    if found.trial is not None and not _PATH.fullmatch(str(found.trial)):
        return f"Domain.trial is {found.trial!r}; write `module:attribute`"
    return _complaint_about_components(found)


def _complaint_about_components(domain: Domain) -> str | None:
    for kind, parts in domain.components.items():
        if kind not in KINDS:
            return f"`{kind}` is no kind of component.{did_you_mean(str(kind), KINDS)} Kinds: {', '.join(KINDS)}"
        for name, path in parts.items():
            if not _NAME.fullmatch(str(name)):
                return f"`{name}` is no name for a component; use lower-case letters, digits and _, without the domain"
            if not _PATH.fullmatch(str(path)):
                return f"component `{name}` is {path!r}; write `module:attribute`"
    return None
