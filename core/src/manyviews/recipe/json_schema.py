"""The recipe as JSON schema, with the parameters of the installed components, so that editors complete and check it.

A file that extends another may leave anything out; `required` therefore stands at the top alone, for files that do not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from manyviews.plugins.component import Component
from manyviews.plugins.registry import registry
from manyviews.plugins.schema import parameters
from manyviews.recipe.load import EXTENDS
from manyviews.recipe.model import Evaluation, Recipe

Schema = dict[str, Any]


def json_schema(domain: str | None = None) -> Schema:
    """Of recipes of `domain`, or of every installed domain, each with its own components.

    Raises:
        RecipeError: The domain is not installed.
    """
    schema = Recipe.model_json_schema()
    for definition in schema["$defs"].values():
        definition.pop("required", None)
    required = schema.pop("required")
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["properties"][EXTENDS] = _extends()
    schema["allOf"] = [{"if": {"not": {"required": [EXTENDS]}}, "then": {"required": required}}]
    domains = [registry().domain(domain).name] if domain else [known.name for known in registry().domains()]
    schema["properties"]["domain"]["enum"] = domains
    for name in domains:
        fits = {"properties": {"domain": {"const": name}}, **({} if domain else {"required": ["domain"]})}
        schema["allOf"].append({"if": fits, "then": {"properties": _places(name, schema["$defs"])}})
    return schema


def _extends() -> Schema:
    one = {"type": "string"}
    return {"anyOf": [one, {"type": "array", "items": one}], "description": "Recipes to lay below this one, names or paths."}


def _places(domain: str, definitions: Schema) -> Schema:
    """What may stand at each place of a recipe of this domain."""
    kinds = {"source": "source", "encoder": "name", "views": "name", "objective": "name", "task": "task", "renderer": "name"}
    for kind, choice in kinds.items():
        definitions[f"{domain}.{kind}"] = _choice(kind, choice, domain, definitions) or {"type": "null"}
    place = {kind: {"$ref": f"#/$defs/{domain}.{kind}"} for kind in kinds}
    term = {"properties": {"views": place["views"], "objective": place["objective"]}}
    return {
        "data": place["source"],
        "encoder": place["encoder"],
        "views": _or_null(place["views"]),
        "objective": _or_null(place["objective"]),
        "terms": _or_null({"type": "array", "items": term}),
        "evaluate": {"type": "array", "items": place["task"]},
        "renderer": _or_null(place["renderer"]),
    }


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _choice(kind: str, choice: str, domain: str, definitions: Schema) -> Schema:
    """Empty where there are none."""
    found = list(_spelled(kind, domain))
    names = [name for _, spellings in found for name in spellings]
    if not names:
        return {}
    beside = tuple(Evaluation.model_fields) if kind == "task" else (choice,)
    branches = [_branch(part, spellings, choice, beside, definitions) for part, spellings in found]
    return {"type": "object", "properties": {choice: {"enum": names}}, "allOf": branches}


def _spelled(kind: str, domain: str) -> Iterator[tuple[Component, list[str]]]:
    """The components that a recipe of this domain can name, with the names that reach each of them."""
    for part, _ in registry().loaded(kind):
        prefix, _, bare = part.name.rpartition("/")
        if prefix in ("", domain):
            reached = registry().component(kind, bare, domain) == part
            yield part, sorted({part.name, bare} if reached else {part.name})


def _branch(part: Component, spellings: list[str], choice: str, beside: tuple[str, ...], definitions: Schema) -> Schema:
    """Which keys may stand there once this component is named."""
    prefix = f"{part.kind}.{part.name.replace('/', '.')}"
    own = parameters(part.load()).model_json_schema(ref_template=f"#/$defs/{prefix}.{{model}}")
    definitions.update({f"{prefix}.{name}": nested for name, nested in own.get("$defs", {}).items()})
    properties = {**dict.fromkeys(beside, True), **own.get("properties", {})}
    named = {"properties": {choice: {"enum": spellings}}, "required": [choice]}
    return {"if": named, "then": {"properties": properties, "additionalProperties": False}}
