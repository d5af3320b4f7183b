"""pydantic's complaints in our words: one sentence with the key's path, the value and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from manyviews.errors import RecipeError, UserError
from manyviews.plugins.suggest import did_you_mean
from manyviews.recipe.tree import Path, dotted

if TYPE_CHECKING:
    from manyviews.recipe.model import Recipe

Known = Callable[[Path], Iterable[str]]
"""The keys that are known in the mapping at a path."""


def translate(error: ValidationError, data: Any, known: Known, key: str = "") -> RecipeError:
    """The first complaint (unknown keys before others: a misspelt key is also a missing one), and how many more there are.

    Args:
        error: What pydantic says of `data`.
        data: The plain values that it looked at.
        known: Which keys a mapping may have.
        key: Path of `data` itself.
    """
    complaints: dict[Path, list[ErrorDetails]] = {}
    for details in error.errors(include_url=False):
        complaints.setdefault(_path(details["loc"], data, details["type"]), []).append(details)
    path, about = min(complaints.items(), key=lambda item: item[1][0]["type"] != "extra_forbidden")
    full = ".".join(filter(None, (key, dotted(path))))
    more = f" (and {len(complaints) - 1} more)" if len(complaints) > 1 else ""
    return RecipeError(f"{full or 'recipe'}: {_sentence(path, about, data, known)}{more}", key=full)


@contextmanager
def located(recipe: Recipe) -> Iterator[None]:
    """Errors that know only their key, or begin with one (`train.batch_size: …`), are told where that key was written."""
    try:
        yield
    except UserError as error:
        begins = _KEY.match(str(error.args[0]))
        error.where = error.where or recipe.where(error.key or (begins[0] if begins else ""))
        raise


_KEY = re.compile(r"[a-z_]+(\.[a-z0-9_]+)+(?=: )")


def known_keys(model: type[BaseModel], *also: str) -> Known:
    """The keys of the mapping at a path of `model`; `also` at its top."""

    def known(path: Path) -> list[str]:
        here = model
        for step in path:
            if isinstance(step, str):
                here = next(
                    _models_in({field.alias or name: field for name, field in here.model_fields.items()}[step].annotation)
                )
        names = [field.alias or name for name, field in here.model_fields.items()]
        return [*names, *(also if not path else ())]

    return known


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _sentence(path: Path, about: Sequence[ErrorDetails], data: Any, known: Known) -> str:
    kind = about[0]["type"]
    if kind == "extra_forbidden":
        keys = sorted(known(path[:-1]))
        return f"unknown key.{did_you_mean(str(path[-1]), keys)}\n  Known here: {', '.join(keys)}"
    if kind == "missing":
        return "missing; it must be given"
    allowed = " or ".join(dict.fromkeys(_allowed(details) for details in about))
    if kind == "value_error":
        return allowed
    return f"{_shown(about[0]['input'])} is not allowed; must be {allowed}"


def _allowed(details: ErrorDetails) -> str:
    if details["type"] == "value_error":
        return details["msg"].removeprefix("Value error, ")
    if details["type"] in _LENGTHS:
        bound, words = _LENGTHS[details["type"]]
        return f"{words} {details['ctx'][bound]} long"
    words = details["msg"].removeprefix("Input should be ").removeprefix("Input should ").partition(", unable to parse")[0]
    for theirs, ours in _WORDS.items():
        words = words.replace(theirs, ours)
    return words


_LENGTHS = {
    "too_short": ("min_length", "at least"),
    "too_long": ("max_length", "at most"),
    "string_too_short": ("min_length", "at least"),
    "string_too_long": ("max_length", "at most"),
}
"""Kind of pydantic's complaint about a length -> its bound, and how we say it."""
_WORDS: Mapping[str, str] = {
    "a valid number": "a number",
    "a valid integer, got a number with a fractional part": "a whole number",
    "a valid integer": "a whole number",
    "a valid string": "text",
    "a valid boolean": "true or false",
    "a valid list": "a list",
    "a valid array": "a list",
    "a valid tuple": "a list",
    "a valid dictionary": "a mapping (key: value)",
    "an object": "a mapping (key: value)",
}


def _shown(value: Any) -> str:
    """A value as it would be written in YAML, shortened."""
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        text = f"[{', '.join(_shown(element) for element in value)}]"
    else:
        text = {True: "true", False: "false", None: "null"}[value] if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _path(location: Sequence[str | int], data: Any, kind: str) -> Path:
    """pydantic's location without the names of union members and validators, which are no keys of the data."""
    path: list[str | int] = []
    for place, step in enumerate(location):
        if _holds(data, step):
            data = data[step]
        elif kind != "missing" or place < len(location) - 1:
            continue
        path.append(step)
    return tuple(path)


def _holds(data: Any, step: str | int) -> bool:
    return step in data if isinstance(data, Mapping) else isinstance(data, list) and step in range(len(data))
