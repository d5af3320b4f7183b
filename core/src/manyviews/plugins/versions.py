"""Does the installed core meet a plugin's requirement? Answered for plain ones without importing `packaging`.

`packaging.requirements` takes as long to import as a hundred plugins (it pulls in logging, subprocess and platform). What
nearly every plugin says (`manyviews~=0.1.0`) is compared here as PEP 440 has it for plain releases; all else is left to it.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from functools import cache

from manyviews.plugins.distributions import version_of

_NUMBER = r"\d+(?:\.\d+)*"
_CLAUSES = rf"\s*(?:~=\s*\d+(?:\.\d+)+|(?:==|!=|<=|>=|<|>)\s*{_NUMBER})\s*"
_PLAIN = re.compile(rf"manyviews\s*({_CLAUSES}(?:,{_CLAUSES})*)?", re.IGNORECASE)
_CLAUSE = re.compile(rf"(~=|==|!=|<=|>=|<|>)\s*({_NUMBER})")
_RELEASE = re.compile(_NUMBER)

Release = tuple[int, ...]


@cache
def core_version() -> str:
    """The installed version of manyviews."""
    return version_of("manyviews")


@cache
def core_satisfies(requirement: str) -> bool:
    """Whether the installed core meets `requirement` (`manyviews~=0.1`); true where its marker does not hold here.

    Raises:
        packaging.requirements.InvalidRequirement: It cannot be read.
    """
    plain = _PLAIN.fullmatch(requirement)
    if plain is not None and _RELEASE.fullmatch(core_version()):
        return all(_holds(sign, _release(bound)) for sign, bound in _CLAUSE.findall(plain[1] or ""))
    return _asks_packaging(requirement)


def _release(text: str) -> Release:
    return tuple(map(int, text.split(".")))


_SIGNS: dict[str, Callable[[Release, Release], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}


def _holds(sign: str, bound: Release) -> bool:
    """PEP 440 for releases without letters: `1.0` is `1.0.0`; `~=1.2.3` is `>=1.2.3, ==1.2.*`."""
    core = _release(core_version())
    length = max(len(core), len(bound))
    padded = core + (0,) * (length - len(core))
    if sign == "~=":
        return padded >= bound and padded[: len(bound) - 1] == bound[:-1]
    return _SIGNS[sign](padded, bound + (0,) * (length - len(bound)))


def _asks_packaging(requirement: str) -> bool:
    from packaging.requirements import Requirement

    parsed = Requirement(requirement)
    if parsed.marker is not None and not parsed.marker.evaluate({"extra": ""}):
        return True
    return parsed.specifier.contains(core_version(), prereleases=True)
