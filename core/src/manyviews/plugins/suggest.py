"""Did you mean …?"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def closest(given: str, known: Iterable[str]) -> str | None:
    """The known name most like `given`, upper and lower case alike; None where none is near."""
    by_folded = {name.casefold(): name for name in known}
    found = get_close_matches(given.casefold(), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """` Did you mean `x`?`, with the space before it; empty where nothing is near."""
    near = closest(given, known)
    return f" Did you mean `{near}`?" if near else ""
