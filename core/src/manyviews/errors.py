"""The errors that a user can mend: the command line prints their message alone.

Anything else that is raised is a bug and keeps its traceback.
"""


class UserError(ValueError):
    """Something the user gave does not work: says what was given, what was expected and what to do.

    At most three lines; names the file, column, key or plugin.
    """


class RecipeError(UserError):
    """A recipe cannot be used: names the key path, the file and line, the value and what is allowed."""


class DataError(UserError):
    """Input data cannot be used: names the file, column, row or item."""


class CheckpointError(UserError):
    """A checkpoint cannot be written or read: names the folder and the file in it."""


class PluginError(UserError):
    """A plugin cannot be used: names the distribution and the fix."""
