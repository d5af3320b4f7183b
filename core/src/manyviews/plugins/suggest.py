"""Did you mean …?"""

from __future__ import annotations

from collections.abc import Iterable


def closest(given: str, known: Iterable[str]) -> str | None:
    """The known name most like `given`, upper and lower case alike; None where none is near."""
    from difflib import get_close_matches  # imported when somebody has mistyped something

    by_folded = {name.casefold(): name for name in known}
    found = get_close_matches(given.casefold(), by_folded, n=1, cutoff=0.6)
    swapped = [name for name in by_folded if sorted(name) == sorted(given.casefold())]  # short ones are too far for difflib
    near = swapped or found
    return by_folded[near[0]] if near else None


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """` Did you mean `x`?`, with the space before it; empty where nothing is near."""
    near = closest(given, known)
    return f" Did you mean `{near}`?" if near else ""
