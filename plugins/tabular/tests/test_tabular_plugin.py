"""The plugin as the core sees it: light, complete, its recipes in order, its doctor heard."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from manyviews.plugins.registry import registry
from manyviews.recipe.files import recipe_names
from manyviews.recipe.load import load_recipe
from manyviews.recipe.resolve import resolve
from manyviews_tabular.doctor import examine

RECIPES = ["lejepa", "masked_values", "scarf", "t_jepa", "t_jepa_vicreg", "vime"]


def test_its_module_imports_nothing_heavy():
    heavy = "import sys, manyviews_tabular.plugin; print({'torch', 'pandas', 'pyarrow', 'numpy', 'sklearn'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True).stdout.strip() == "set()"


def test_every_component_loads():
    parts = [part for part in registry().components() if part.name.startswith("tabular/")]
    assert {part.name for part in parts} >= {
        "tabular/table",
        "tabular/transformer",
        "tabular/mlp",
        "tabular/scarf",
        "tabular/values",
    }
    for part in parts:
        assert part.load().__doc__


def test_recipes_are_there_and_sound():
    assert recipe_names("tabular") == [f"tabular/{name}" for name in RECIPES]
    for name in RECIPES:
        recipe = resolve(load_recipe(f"tabular/{name}", ["data.path=table.csv"]))
        assert recipe.domain == "tabular"
        assert load_recipe(f"tabular/{name}", ["data.path=table.csv"]).objective.name


def test_doctor_names_every_fault(tmp_path):
    rows = 40
    pd.DataFrame(
        {
            "id": [f"k{i}" for i in range(rows)],
            "amount": ["1", "2", "x", "4"] * (rows // 4),
            "big": [1.0, np.inf] * (rows // 2),
            "sparse": [1.0, 2.0] + [None] * (rows - 2),
            "fine": range(rows),
        }
    ).to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / "b.csv").touch()
    (tmp_path / "c.csv").write_text("x,y\n")
    (tmp_path / "notes.md").write_text("no table")
    findings = examine(tmp_path)
    assert len(findings) == 6
    for wanted in (
        "'id' is left out",
        "'amount' holds numbers, but row 2",
        "'big' is infinite in row 1",
        "'sparse' is missing in 95%",
    ):
        assert any(wanted in line for line in findings), wanted
    assert any("b.csv: the file is empty" in line for line in findings)
    assert any("c.csv: the table has no rows" in line for line in findings)
    assert all("\n" not in line for line in findings)


def test_doctor_keeps_to_tables(tmp_path):
    (tmp_path / "scan.nii").touch()
    assert examine(tmp_path) is None
    pd.DataFrame({"x": [1.5, 2.5], "y": [0.5, 3.0]}).to_csv(tmp_path / "t.csv", index=False)
    assert examine(tmp_path) == []


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_parameters_are_documented(name):
    from manyviews.plugins.schema import parameters

    recipe = load_recipe(f"tabular/{name}", ["data.path=table.csv"])
    for kind, part in (("encoder", recipe.encoder.name), ("views", recipe.views.name), ("objective", recipe.objective.name)):
        fields = parameters(registry().component(kind, part, "tabular").load()).model_fields
        assert all(field.description for field in fields.values())
