"""Every component that is installed describes itself: the words are its constructor's, so none may be missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from manyviews.cli.main import run
from manyviews.plugins.component import Component
from manyviews.plugins.registry import registry
from manyviews.plugins.schema import parameters, summary
from manyviews.recipe.files import recipe_names
from manyviews.recipe.load import load_recipe, to_yaml
from manyviews.recipe.reader import parse
from manyviews.recipe.resolve import resolve
from manyviews.recipe.tree import plain

PARTS = registry().components()


@pytest.mark.parametrize("part", PARTS, ids=lambda part: f"{part.kind}-{part.name.replace('/', '.')}")
def test_a_component_is_described_whole(part: Component, capsys: pytest.CaptureFixture[str]) -> None:
    cls = part.load()
    fields = {field.alias: field for field in parameters(cls).model_fields.values()}
    assert summary(cls), f"{part.path} has no docstring"
    assert not [name for name, field in fields.items() if not field.description], "every parameter stands under `Args:`"
    assert run(["describe", part.name]) == 0
    told = capsys.readouterr().out
    assert f"{part.kind} {part.name}, of {part.distribution} ({part.path})" in told
    for name in fields:
        assert f"\n  {name}: " in told
    assert ": anything" not in told, "a type has no words"


def test_the_schema_of_every_domain_accepts_its_recipes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for domain in registry().domains():
        assert run(["describe", "--schema", domain.name]) == 0
        schema = Draft202012Validator(json.loads(capsys.readouterr().out))
        for name in recipe_names(domain.name):
            recipe = resolve(load_recipe(name, ["data.path=x"]))
            wrong = list(schema.iter_errors(plain(parse(to_yaml(recipe), name))))
            assert not wrong, f"{name}: {wrong[0].message}"
