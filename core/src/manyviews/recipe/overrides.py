"""`key.path=value` on the command line, keyword arguments in Python: laid over the recipe's file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

from manyviews.errors import RecipeError
from manyviews.recipe.merge import merge
from manyviews.recipe.reader import parse
from manyviews.recipe.tree import Node, from_python

COMMAND_LINE = "the command line"
ARGUMENT = "the arguments"


def override_tree(overrides: Sequence[str] | Mapping[str, Any]) -> Node:
    """All overrides as one tree, so that their order plays no part unless two give the same key (then the last counts).

    Args:
        overrides: `key.path=value` texts, the value read as YAML; or a mapping whose keys may be dotted and whose values
            may be mappings.
    """
    if isinstance(overrides, Mapping):
        nodes = [_nest(str(key), from_python(value, ARGUMENT, (str(key),)), ARGUMENT) for key, value in overrides.items()]
    else:
        nodes = [_parse(text) for text in overrides]
    return reduce(merge, nodes, Node({}, COMMAND_LINE))


def _parse(text: str) -> Node:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise RecipeError(f"{text!r} is no override; write key.path=value, as in optim.lr=1e-3", where=COMMAND_LINE)
    try:
        read = parse(value, COMMAND_LINE, lines=False)
    except RecipeError as error:
        hint = f"quote the value if it is text: {key}='\"…\"'"
        raise RecipeError(f"{key}: {error.args[0]}; {hint}", key=key, where=COMMAND_LINE) from error
    return _nest(key.strip(), read, COMMAND_LINE)


def _nest(key: str, value: Node, where: str) -> Node:
    parts = key.split(".")
    if not all(parts):
        raise RecipeError(f"{key!r} is no key path; write optim.lr or evaluate.0.every", where=where)
    return reduce(lambda below, part: Node({part: below}, where), reversed(parts), value)
