"""A recipe before it is checked: a tree of values, each of which knows where it was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any

from manyviews.errors import RecipeError

Scalar = str | int | float | bool | None
Path = tuple[str | int, ...]
MISSING = "???"
"""Marks a value that the recipe's user must give."""


@dataclass(frozen=True)
class Node:
    """A value and where it stands (`file:line`, `command line`)."""

    value: dict[str, Node] | list[Node] | Scalar
    where: str


def dotted(path: Path) -> str:
    """`evaluate.0.every`."""
    return ".".join(map(str, path))


def plain(node: Node) -> Any:
    """The values alone."""
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(child) for child in node.value]
    return node.value


def leaves(node: Node, path: Path = ()) -> Iterator[tuple[Path, Node]]:
    """All nodes with their paths, each before those below it."""
    yield path, node
    if isinstance(node.value, dict):
        for key, child in node.value.items():
            yield from leaves(child, (*path, key))
    elif isinstance(node.value, list):
        for place, child in enumerate(node.value):
            yield from leaves(child, (*path, place))


def nearest(places: Mapping[str, str], key: str) -> str:
    """Where `key` was written, or the nearest key above it; empty where not known."""
    while key and key not in places:
        key = key.rpartition(".")[0]
    return places.get(key, "")


def from_python(value: Any, where: str, path: Path = ()) -> Node:
    """A tree of a value given in Python: numbers, text, paths, enums, lists, tuples and mappings with text keys.

    Raises:
        RecipeError: It holds something that cannot be written into a YAML file.
    """
    if isinstance(value, Mapping):
        return Node({str(key): from_python(child, where, (*path, str(key))) for key, child in value.items()}, where)
    if isinstance(value, (list, tuple)):
        return Node([from_python(child, where, (*path, place)) for place, child in enumerate(value)], where)
    if isinstance(value, Enum):
        return from_python(value.value, where, path)
    if isinstance(value, PurePath):
        return Node(str(value), where)
    if value is None or isinstance(value, (str, int, float)):
        return Node(value, where)
    allowed = "a recipe holds text, numbers, true, false, null, lists and mappings only"
    raise RecipeError(f"{dotted(path)}: {type(value).__name__} is not allowed; {allowed}", key=dotted(path), where=where)
