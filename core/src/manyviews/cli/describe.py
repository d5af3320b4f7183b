"""`manyviews describe`: a component's parameters, a recipe, a domain, or the JSON schema of recipes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from manyviews.plugins.component import Component


@click.command(short_help="Describe a component, a recipe or a domain.")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="A component's parameters as JSON schema, a recipe as JSON.")
@click.option("--schema", is_flag=True, help="The JSON schema of recipes (of the domain NAME), for editors.")
def command(name: str | None, as_json: bool, schema: bool) -> None:
    """Describe NAME: a component (`ntxent`, `tabular/table`), a recipe (`tabular/t_jepa`, a file) or a domain.

    Without a name, list all of them.

    \b
    Editors complete and check recipes with a schema:
      manyviews describe --schema > recipe.schema.json
      # yaml-language-server: $schema=recipe.schema.json   (first line of a recipe)
    """
    if schema:
        from manyviews.recipe.json_schema import json_schema

        click.echo(_json(json_schema(name)))
    elif name is None:
        click.echo(_everything())
    else:
        click.echo(_named(name, as_json))


def _named(name: str, as_json: bool) -> str:
    from manyviews.plugins.registry import registry
    from manyviews.recipe.files import SUFFIXES, recipe_names

    found = registry()
    parts = [part for part in found.components() if name in (part.name, part.name.rpartition("/")[2])]
    exact = [part for part in parts if part.name == name]
    texts = [_component(part, as_json) for part in exact or parts]
    if name.endswith(SUFFIXES) or name in recipe_names():
        texts.append(_recipe(name, as_json))
    if name in {domain.name for domain in found.domains()}:
        texts.append(_domain(name))
    if not texts:
        _unknown(name)
    return "\n\n".join(texts)


def _unknown(name: str) -> None:
    from manyviews.errors import UserError
    from manyviews.plugins.registry import registry
    from manyviews.plugins.suggest import did_you_mean
    from manyviews.recipe.files import recipe_names

    known = {part.name for part in registry().components()} | {*recipe_names()} | {one.name for one in registry().domains()}
    hint = did_you_mean(name, known)
    raise UserError(f"there is no component, recipe or domain `{name}`.{hint}\n  `manyviews describe` lists them all")


def _component(part: Component, as_json: bool) -> str:
    from manyviews.cli.component_text import component_text
    from manyviews.plugins.schema import parameters

    return _json(parameters(part.load()).model_json_schema()) if as_json else component_text(part)


def _recipe(name: str, as_json: bool) -> str:
    import textwrap

    from manyviews.recipe.files import about, find_recipe
    from manyviews.recipe.load import read_tree
    from manyviews.recipe.reader import dump
    from manyviews.recipe.tree import plain

    values = plain(read_tree(name))
    if as_json:
        return _json(values)
    said = textwrap.fill(about(find_recipe(name).read()), 110, initial_indent="# ", subsequent_indent="# ")
    return f"recipe {name}\n\n" + "\n".join(filter(None, (said, dump(values).rstrip())))


def _domain(name: str) -> str:
    from manyviews.plugins.registry import registry
    from manyviews.recipe.files import recipe_names

    lines = [f"domain {name}: {registry().domain(name).summary}", ""]
    lines += _listed({part.kind: [] for part in registry().components()}, f"{name}/")
    return "\n".join([*lines, _row("recipes", recipe_names(name) or ["none"])])


def _everything() -> str:
    from manyviews.plugins.registry import registry

    core = ["core", "", *_listed({part.kind: [] for part in registry().components()}, "")]
    return "\n\n".join(["\n".join(core), *(_domain(domain.name) for domain in registry().domains())])


def _listed(kinds: dict[str, list[str]], prefix: str) -> list[str]:
    from manyviews.plugins.registry import registry

    for part in registry().components():
        if part.name.startswith(prefix) and ("/" in part.name) == bool(prefix):
            kinds[part.kind].append(part.name)
    return [_row(kind, names) for kind, names in kinds.items() if names]


def _row(kind: str, names: list[str]) -> str:
    import textwrap

    return textwrap.fill(", ".join(names), 110, initial_indent=f"  {kind:<10} ", subsequent_indent=" " * 13)


def _json(value: Any) -> str:
    import json

    return json.dumps(value, indent=2, ensure_ascii=False)
