"""A recipe that says everything: each component's parameters checked against its constructor, its defaults written out.

This is what a run stores, so that it can be repeated after a default has changed. Imports the components (and so torch),
but reads no data.
"""

from __future__ import annotations

import json
from typing import Any

from manyviews.plugins.registry import registry
from manyviews.plugins.schema import filled
from manyviews.recipe.errors import located
from manyviews.recipe.load import components
from manyviews.recipe.model import Recipe


def resolve(recipe: Recipe) -> Recipe:
    """`recipe` with every parameter of every component.

    Raises:
        RecipeError: A component refuses a parameter; says the key path, the file and line, the value and what is allowed.
    """
    whole = recipe.model_dump()
    with located(recipe):
        for key, kind, name, given in components(recipe):
            component = registry().component(kind, name, recipe.domain, key=key)
            _at(whole, key).update(filled(component, given, key))
    return Recipe.model_validate_json(json.dumps(whole)).written(recipe.origins)


def _at(values: Any, key: str) -> dict[str, Any]:
    for step in key.split("."):
        values = values[int(step)] if isinstance(values, list) else values[step]
    found: dict[str, Any] = values
    return found
