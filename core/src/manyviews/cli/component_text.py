"""A component's description as text."""

from __future__ import annotations

import inspect
import json
import textwrap
from typing import Any

from docstring_parser import DocstringStyle, parse

from manyviews.plugins.component import Component
from manyviews.plugins.match import facts_of, said
from manyviews.plugins.schema import parameters

SAYS = {"objective": "needs", "views": "gives", "encoder": "offers"}
_PLAIN = {"number": "number", "integer": "whole number", "string": "text", "boolean": "true or false", "null": "null"}
_BOUNDS = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}
WIDTH = 110


def component_text(part: Component) -> str:
    """What it is, what it needs or gives, and each parameter with its type, default and meaning."""
    cls = part.load()
    blocks = [f"{part.kind} {part.name}, of {part.distribution} ({part.path})", *_prose(cls)]
    if facts := _facts(part, cls):
        blocks.append("\n".join(facts))
    schema = parameters(cls).model_json_schema()
    required = set(schema.get("required", ()))
    lines = [_parameter(name, one, name in required, schema) for name, one in schema.get("properties", {}).items()]
    return "\n\n".join([*blocks, "\n".join(lines) or "No parameters."])


def _prose(cls: type[Any]) -> list[str]:
    parsed = parse(inspect.getdoc(cls) or "", DocstringStyle.GOOGLE)
    paragraphs = [parsed.short_description or "", *(parsed.long_description or "").split("\n\n")]
    return [textwrap.fill(" ".join(text.split()), WIDTH) for text in paragraphs if text.strip()]


def _facts(part: Component, cls: type[Any]) -> list[str]:
    facts = facts_of(part.name, part.kind, cls)
    lines = [f"{SAYS[part.kind]}: {said(facts.traits)}"] if facts.traits else []
    lines += [f"needs: {said(facts.needs)}"] if facts.needs else []
    lines += [f"pretext target: {facts.target.__name__}"] if facts.target else []
    lines += [f"across processes: {cls.across}"] if part.kind == "objective" else []
    return [textwrap.fill(line, WIDTH, subsequent_indent="  ") for line in lines]


def _parameter(name: str, schema: dict[str, Any], required: bool, whole: dict[str, Any]) -> str:
    value = schema.get("default")
    default = "required" if required else f"default {value if isinstance(value, str) else json.dumps(value)}"
    meaning = textwrap.fill(schema.get("description", ""), WIDTH, initial_indent="      ", subsequent_indent="      ")
    return f"  {name}: {kind_of(schema, whole)} ({default})" + (f"\n{meaning}" if meaning else "")


def kind_of(schema: dict[str, Any], whole: dict[str, Any]) -> str:
    """A JSON schema in words: `number > 0`, `batch, layer or none`, `list of text`."""
    if "$ref" in schema:
        return kind_of(whole["$defs"][schema["$ref"].rpartition("/")[2]], whole)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(kind_of(one, whole) for one in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return " | ".join(map(str, schema.get("enum", [schema.get("const")])))
    bounds = " and ".join(f"{sign} {schema[key]:g}" for key, sign in _BOUNDS.items() if key in schema)
    match schema.get("type"):
        case "array" if "prefixItems" in schema:
            return f"[{', '.join(kind_of(one, whole) for one in schema['prefixItems'])}]"
        case "array":
            return f"list of {kind_of(schema.get('items', {}), whole)}"
        case "object":
            keys = schema.get("properties")
            return f"mapping with {', '.join(keys)}" if keys else "mapping"
        case plain:
            return f"{_PLAIN.get(str(plain), 'anything')} {bounds}".rstrip()
