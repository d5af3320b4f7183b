"""Every recipe of every domain trains, and every objective runs on every domain that is here.

A domain says in one place what it is tried on (`Domain.trial`); nothing here knows one domain from another.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from manyviews.plugins.matrix import matrix
from manyviews.plugins.registry import registry
from manyviews.plugins.state import Plugin
from manyviews.recipe.files import recipe_names
from manyviews.testing.kits import MatrixKit, RecipeKit
from manyviews.testing.subject import Subject

ROOT = Path(__file__).parent.parent
DOMAINS = sorted(path.name for path in (ROOT / "plugins").iterdir() if (path / "pyproject.toml").is_file())
TRIED = [plugin for plugin in registry().plugins if plugin.domain and plugin.domain.trial]

for _plugin in TRIED:
    for _kit in (RecipeKit, MatrixKit):  # a class for each domain, as a plugin's own tests would write it
        _name = f"Test{_plugin.name.capitalize()}{_kit.__name__.removesuffix('Kit')}"
        globals()[_name] = type(_name, (_kit,), {"plugin": _plugin.entry_point})


@pytest.mark.parametrize("name", DOMAINS)
def test_every_domain_here_is_installed_and_tried(name: str) -> None:
    states = {plugin.name: (str(plugin.state), plugin.reason) for plugin in registry().plugins}
    assert states.get(name) == ("ok", "")
    assert name in [plugin.name for plugin in TRIED], f"Domain.trial of {name} says what its recipes are tried on"


def test_every_recipe_file_is_a_recipe_that_is_tried() -> None:
    files = [path for path in (ROOT / "domain_configs").glob("*/*.yaml") if not path.stem.startswith("_")]
    assert {f"{path.parent.name}/{path.stem}" for path in files} == set(recipe_names())
    assert {path.parent.name for path in files} <= {plugin.name for plugin in TRIED}


@pytest.mark.parametrize("plugin", TRIED, ids=lambda plugin: plugin.name)
def test_what_the_matrix_says_runs_is_tried(plugin: Plugin) -> None:
    cells = {cell.objective for cell in matrix() if cell.domain == plugin.name and cell.runs}
    assert cells == {meeting.objective.part.name for meeting in Subject.of(plugin.entry_point).meetings()}
