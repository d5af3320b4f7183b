"""How tracking talks to the user: one line on stderr, and errors that say what to do."""

from __future__ import annotations

import sys

from manyviews.errors import UserError


def say(line: str) -> None:
    """One line for the user, clear of a progress bar."""
    from tqdm import tqdm

    tqdm.write(f"manyviews: {line}", file=sys.stderr)


def reason(error: Exception) -> str:
    """The first line of an error's message, without the end of its sentence."""
    lines = str(error).strip().splitlines()
    return lines[0][:200].rstrip(". ") if lines else type(error).__name__


def unusable(shown: str, error: Exception) -> UserError:
    """What a store's error means to the user."""
    if isinstance(error, UserError):
        return error
    advice = "Give another one (`track.uri=…`), or run without: `track=null`."
    return UserError(f"MLflow cannot use the store {shown}: {reason(error)}.\n{advice}")
