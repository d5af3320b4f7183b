"""The errors that a user can mend: the command line prints their message alone.

Anything else that is raised is a bug and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

LINES = 3
"""The most lines that a message has."""


class UserError(ValueError):
    """Something the user gave does not work: says what was given, what was expected and what to do.

    At most three lines; names the file, column, key or plugin. `key` is the key path in the recipe that it is about; with it,
    `where` (`file:line`, `the command line`) is filled in by who knows where that key was written, and is said too.
    """

    def __init__(self, message: str = "", *, key: str = "", where: str = "") -> None:
        super().__init__(message)
        self.key, self.where = key, where

    def __str__(self) -> str:
        message = super().__str__()
        if not self.where:
            return message
        first, *rest = message.splitlines()
        return f"{message}\n  in {self.where}" if len(rest) < LINES - 1 else "\n".join([f"{first} (in {self.where})", *rest])


class RecipeError(UserError):
    """A recipe cannot be used: names the key path, the file and line, the value and what is allowed."""


class DataError(UserError):
    """Input data cannot be used: names the file, column, row or item."""


class CheckpointError(UserError):
    """A checkpoint cannot be written or read: names the folder and the file in it."""


class PluginError(UserError):
    """A plugin cannot be used: names the distribution and the fix."""


@contextmanager
def keyed(key: str) -> Iterator[None]:
    """Errors that know no key are told that of the part which raised them, and begin with it or with a key in it."""
    try:
        yield
    except UserError as error:
        if not error.key:
            said = str(error.args[0])  # of a part of its own it has told already where that is (`data.path: …`)
            error.key, error.args = key, (said if said.startswith(f"{key}.") else f"{key}: {said}",)
        raise
