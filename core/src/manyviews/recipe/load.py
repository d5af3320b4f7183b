"""A recipe by name or path, with what it extends and what overrides it, checked. Imports no torch and no component."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from manyviews.errors import RecipeError
from manyviews.plugins.registry import registry
from manyviews.recipe.errors import known_keys, located, translate
from manyviews.recipe.files import SUFFIXES, RecipeFile, find_recipe
from manyviews.recipe.merge import merge
from manyviews.recipe.model import Origins, Recipe
from manyviews.recipe.overrides import ARGUMENT, override_tree
from manyviews.recipe.reader import dump, parse
from manyviews.recipe.tree import MISSING, Node, dotted, from_python, leaves, nearest, plain

EXTENDS = "extends"


def load_recipe(recipe: str | Path | Mapping[str, Any], overrides: Sequence[str] | Mapping[str, Any] = ()) -> Recipe:
    """The recipe of a name (`tabular/t_jepa`), of a path (`….yaml`) or of plain values, with all its keys checked.

    Components must be installed, but are not imported: `manyviews.recipe.resolve` checks their parameters.

    Args:
        recipe: Name, path or values. What it `extends` (one name or path, or a list) is laid below it, left to right.
        overrides: `key.path=value` texts, or a mapping with dotted or nested keys; laid over it.

    Raises:
        RecipeError: Says the key path, the file and line, the value and what is allowed.
    """
    merged = merge(read_tree(recipe), override_tree(overrides))
    _refuse_missing(merged)
    data, origins = plain(merged), Origins({dotted(path): node.where for path, node in leaves(merged)})
    origins.title = "" if isinstance(recipe, Mapping) else _title(str(recipe))
    try:
        checked = Recipe.model_validate_json(json.dumps(data)).written(origins)
    except ValidationError as error:
        refusal = translate(error, data, known_keys(Recipe, EXTENDS))
        refusal.where = nearest(origins, refusal.key)
        raise refusal from error
    _check_names(checked)
    return checked


def to_yaml(recipe: Recipe) -> str:
    """The whole recipe, defaults included, as text that `load_recipe` reads back equal."""
    return dump(plain(from_python(recipe.model_dump(), "")))


def read_tree(recipe: str | Path | Mapping[str, Any]) -> Node:
    """A recipe with what it extends, before overrides and unchecked."""
    if isinstance(recipe, Mapping):
        return _extended(from_python(recipe, ARGUMENT), None, ())
    return _read(find_recipe(str(recipe)), ())


def _title(reference: str) -> str:
    return Path(reference).stem if reference.endswith(SUFFIXES) else reference


def _read(file: RecipeFile, readers: tuple[str, ...]) -> Node:
    if file.label in readers:
        raise RecipeError(f"extends: a circle of recipes: {' -> '.join((*readers, file.label))}")
    return _extended(parse(file.read(), file.label), file.folder, (*readers, file.label))


def _extended(own: Node, folder: Path | None, readers: tuple[str, ...]) -> Node:
    if not isinstance(own.value, dict):
        raise RecipeError("a recipe is a mapping (key: value)", where=own.where)
    keys = dict(own.value)
    bases = [_base(reference, folder, readers) for reference in _references(keys.pop(EXTENDS, None))]
    return reduce(merge, [*bases, Node(keys, own.where)])


def _references(given: Node | None) -> list[Node]:
    if given is None:
        return []
    references = given.value if isinstance(given.value, list) else [given]
    for reference in references:
        if not isinstance(reference.value, str):
            raise RecipeError("extends: must be a recipe's name or path, or a list of them", key=EXTENDS, where=reference.where)
    return references


def _base(reference: Node, folder: Path | None, readers: tuple[str, ...]) -> Node:
    try:
        file = find_recipe(str(reference.value), folder)
    except RecipeError as error:
        raise RecipeError(f"extends: {error}", key=EXTENDS, where=reference.where) from error
    return _read(file, readers)


def _refuse_missing(merged: Node) -> None:
    missing = [(dotted(path), node) for path, node in leaves(merged) if node.value == MISSING]
    if missing:
        key, node = missing[0]
        give = " ".join(f"{other}=…" for other, _ in missing)
        raise RecipeError(
            f"{key}: this recipe leaves it to you; give it on the command line: {give}", key=key, where=node.where
        )


def components(recipe: Recipe) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """(key, kind, name, parameters) of every component that a recipe names."""
    yield "data", "source", recipe.data.source, recipe.data.parameters
    yield "encoder", "encoder", recipe.encoder.name, recipe.encoder.parameters
    for place, term in enumerate(recipe.all_terms()):
        prefix = f"terms.{place}." if recipe.terms is not None else ""
        yield f"{prefix}views", "views", term.views.name, term.views.parameters
        yield f"{prefix}objective", "objective", term.objective.name, term.objective.parameters
    for place, task in enumerate(recipe.evaluate):
        yield f"evaluate.{place}", "task", task.task, task.parameters
    if recipe.renderer is not None:
        yield "renderer", "renderer", recipe.renderer.name, recipe.renderer.parameters


NAMED_BY = {"source": "source", "task": "task"}
"""Kind -> the key that names its component; elsewhere `name`."""


def _check_names(recipe: Recipe) -> None:
    """The domain and every component are installed."""
    with located(recipe):
        registry().domain(recipe.domain)
        for key, kind, name, _ in components(recipe):
            registry().component(kind, name, recipe.domain, key=f"{key}.{NAMED_BY.get(kind, 'name')}")
