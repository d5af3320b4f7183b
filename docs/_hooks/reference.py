"""The pages of the reference, asked of the installed packages: components, the recipe, the command line, the matrix."""

from __future__ import annotations

from typing import Any

import click
from docstring_parser import DocstringStyle, parse

from manyviews.cli.component_text import SAYS, kind_of
from manyviews.cli.main import COMMANDS, commands
from manyviews.domain import KINDS
from manyviews.plugins.component import Component
from manyviews.plugins.match import facts_of, said
from manyviews.plugins.matrix import matrix
from manyviews.plugins.registry import registry
from manyviews.plugins.schema import parameters
from manyviews.recipe.files import recipe_names
from manyviews.recipe.model import Recipe

HEADS = {
    "source": "Sources", "encoder": "Encoders", "views": "Views", "objective": "Objectives", "task": "Tasks",
    "downstream": "Downstream tasks", "renderer": "Renderers", "writer": "Writers",
}  # fmt: skip


def domain_names() -> list[str]:
    """The installed domains."""
    return [domain.name for domain in registry().domains()]


def components_page(domain: str) -> str:
    """All components of a domain, or of the core (`""`)."""
    parts = [part for part in registry().components() if part.name.rpartition("/")[0] == domain]
    title, about = ("Core", "What every domain can use.") if not domain else (domain, registry().domain(domain).summary)
    blocks = [f"# {title}", f"{about} `manyviews describe` prints the same."]
    if domain and (recipes := recipe_names(domain)):
        blocks += ["Recipes: " + ", ".join(f"`{name}`" for name in recipes) + "."]
    for kind in KINDS:
        own = [part for part in parts if part.kind == kind]
        blocks += [f"## {HEADS.get(kind, kind)}", *(_component(part) for part in own)] if own else []
    return "\n\n".join(blocks)


def _component(part: Component) -> str:
    cls = part.load()
    parsed = parse(cls.__doc__ or "", DocstringStyle.GOOGLE)
    words = [text for text in (parsed.short_description, parsed.long_description) if text]
    facts = facts_of(part.name, part.kind, cls)
    lines = [f"*{SAYS[part.kind].capitalize()}*: {said(facts.traits)}."] if facts.traits else []
    lines += [f"*Needs*: {said(facts.needs)}."] if facts.needs else []
    lines += [f"*Across processes*: {cls.across}."] if part.kind == "objective" else []
    schema = parameters(cls).model_json_schema()
    return "\n\n".join([f"### `{part.name}`", *words, *lines, _table(schema, schema)])


def _table(schema: dict[str, Any], whole: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = [
        f"| `{name}` | {_cell(kind_of(one, whole))} | {'required' if name in required else _value(one.get('default'))} | "
        f"{_cell(one.get('description', ''))} |"
        for name, one in schema.get("properties", {}).items()
    ]
    return "\n".join(["| parameter | type | default | meaning |", "|---|---|---|---|", *rows]) if rows else "No parameters."


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _value(value: Any) -> str:
    import json

    return f"`{value if isinstance(value, str) else json.dumps(value)}`" if value != "" else '`""`'


def recipe_page() -> str:
    """Every key of a recipe."""
    schema = Recipe.model_json_schema()
    blocks = ["# Recipe", "Every key that a recipe can have. What stands beside a component's `name` are its own parameters."]
    blocks += ["## The whole", _table(schema, schema)]
    for name, definition in schema["$defs"].items():
        if definition.get("properties"):
            about = " ".join(str(definition.get("description", "")).split())
            blocks += [f"## {name}", about, _table(definition, schema)]
    return "\n\n".join(filter(None, blocks))


def cli_page() -> str:
    """Every command's own help."""
    blocks = ["# Command line", "What each command prints with `--help`."]
    top = click.Context(commands, info_name="manyviews", max_content_width=100, terminal_width=100)
    for name in COMMANDS:
        command = commands.get_command(top, name)
        assert command is not None
        blocks += _help(command, f"manyviews {name}", 2)
    return "\n\n".join(blocks)


def _help(command: click.Command, path: str, level: int) -> list[str]:
    context = click.Context(command, info_name=path, max_content_width=100, terminal_width=100)
    found = [f"{'#' * level} `{path}`", f"```text\n{command.get_help(context)}\n```"]
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            found += _help(inner, f"{path} {name}", level + 1)
    return found


def matrix_page() -> str:
    """Objective x domain, as `manyviews matrix` has it."""
    cells = matrix()
    domains = sorted({cell.domain for cell in cells})
    place = {(cell.objective, cell.domain): cell for cell in cells}
    names = sorted({cell.objective for cell in cells}, key=lambda name: ("/" in name, name))
    rows = ["| objective | " + " | ".join(domains) + " |", "|---" * (len(domains) + 1) + "|"]
    for name in names:
        marks = [place.get((name, domain)) for domain in domains]
        rows.append(
            f"| `{name}` | " + " | ".join("" if one is None else "runs" if one.runs else "cannot" for one in marks) + " |"
        )
    why = [f"- `{cell.objective}` on {cell.domain}: {cell.why_not}" for cell in cells if not cell.runs]
    head = ["# Matrix", f"{sum(cell.runs for cell in cells)} of {len(cells)} cells run; each is trained in the tests."]
    return "\n\n".join([*head, "\n".join(rows), *(["What cannot, and what is missing:", "\n".join(why)] if why else [])])
