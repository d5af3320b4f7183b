"""The errors that a user can mend: the command line prints their message alone.

Anything else that is raised is a bug and keeps its traceback.
"""


class UserError(ValueError):
    """Something the user gave does not work: says what was given, what was expected and what to do.

    At most three lines; names the file, column, key or plugin.
    """


class RecipeError(UserError):
    """A recipe cannot be used: names the key path, the file and line, the value and what is allowed.

    `where` (`file:line`, `the command line`) may be filled in after the error was raised by something that knows only `key`.
    """

    def __init__(self, message: str, *, key: str = "", where: str = "") -> None:
        super().__init__(message)
        self.key, self.where = key, where

    def __str__(self) -> str:
        return f"{super().__str__()}\n  in {self.where}" if self.where else super().__str__()


class DataError(UserError):
    """Input data cannot be used: names the file, column, row or item."""


class CheckpointError(UserError):
    """A checkpoint cannot be written or read: names the folder and the file in it."""


class PluginError(UserError):
    """A plugin cannot be used: names the distribution and the fix."""
