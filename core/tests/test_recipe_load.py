"""Recipes: names, files, `extends`, overrides, and the text that they are written back as."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from manyviews.errors import RecipeError
from manyviews.recipe.files import recipe_names
from manyviews.recipe.load import load_recipe, to_yaml
from manyviews.recipe.resolve import resolve

pytestmark = pytest.mark.usefixtures("sonar")
GIVEN = ["data.path=x"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(name: str, text: str) -> str:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(text)
    return name


def test_an_installed_recipe_by_name() -> None:
    recipe = load_recipe("sonar/plain", GIVEN)
    assert recipe.encoder.name == "net"
    assert recipe.encoder.parameters == {"width": 32}
    assert recipe.optim.lr == pytest.approx(1e-3)
    assert recipe_names() == ["sonar/plain", "sonar/wide"]


def test_a_file_extends_names_and_files_left_to_right_then_itself() -> None:
    write("parts/one.yaml", "optim: {lr: 1, clip: 1}\nencoder: {heads: 2}\n")
    write("parts/two.yaml", "optim: {lr: 2}\n")
    path = write("parts/mine.yaml", "extends: [sonar/wide, one.yaml, two.yaml]\noptim: {warmup: 0.5}\nevaluate: []\n")
    recipe = load_recipe(path, GIVEN)
    assert (recipe.optim.lr, recipe.optim.clip, recipe.optim.warmup) == (2, 1, 0.5)
    assert recipe.encoder.parameters == {"width": 128, "heads": 2}
    assert recipe.evaluate == []
    assert load_recipe(Path(path), GIVEN) == recipe


def test_extends_is_ordered() -> None:
    write("one.yaml", "optim: {lr: 1}")
    write("two.yaml", "optim: {lr: 2}")
    mine = write("mine.yaml", "extends: [sonar/plain, two.yaml, one.yaml]")
    assert load_recipe(mine, GIVEN).optim.lr == 1


def test_another_component_does_not_inherit_parameters() -> None:
    mine = write("mine.yaml", "extends: sonar/plain\nobjective: {name: ntxent, out: 8}\n")
    assert load_recipe(mine, GIVEN).objective.parameters == {"out": 8}
    same = write("same.yaml", "extends: sonar/plain\nobjective: {name: match, kind: dot}\n")
    assert load_recipe(same, GIVEN).objective.parameters == {"temperature": 0.2, "kind": "dot"}


@pytest.mark.parametrize("order", [1, -1])
def test_overrides_of_a_component_and_its_parameters_in_any_order(order: int) -> None:
    words = ["objective.name=ntxent", "objective.temperature=0.7", "evaluate.0.task=spread"][::order]
    recipe = load_recipe("sonar/plain", [*GIVEN, *words])
    assert recipe.objective.name == "ntxent"
    assert recipe.objective.parameters == {"temperature": 0.7}
    assert (recipe.evaluate[0].every, recipe.evaluate[0].parameters) == (50, {})


def test_overrides_reach_into_lists_and_remove_with_null() -> None:
    words = ["evaluate.0.every=10", "evaluate.2.task=spread", "evaluate.2.every=7", "track=null", "optim.betas=[0.8, 0.9]"]
    recipe = load_recipe("sonar/plain", [*GIVEN, *words])
    assert [task.every for task in recipe.evaluate] == [10, None, 7]
    assert recipe.evaluate[0].parameters == {"tries": 5}
    assert recipe.track is None
    assert recipe.optim.betas == (0.8, 0.9)


def test_overrides_from_python_nested_or_dotted() -> None:
    recipe = load_recipe("sonar/plain", {"data": {"path": Path("a/b")}, "optim.lr": 3, "optim": {"clip": 2}})
    assert recipe.data.parameters == {"path": str(Path("a/b"))}
    assert (recipe.optim.lr, recipe.optim.clip) == (3, 2)
    assert load_recipe({"extends": "sonar/plain", "data": {"path": "a"}}).train.steps == 100


def test_steps_and_epochs_displace_each_other() -> None:
    recipe = load_recipe("sonar/plain", [*GIVEN, "train.epochs=3"])
    assert (recipe.train.steps, recipe.train.epochs) == (None, 3)


def test_terms_displace_single_views_and_objective() -> None:
    text = "extends: sonar/plain\nterms: [{views: {name: echoes}, objective: {name: match}, weight: 2}]\n"
    recipe = load_recipe(write("mine.yaml", text), [*GIVEN, "terms.0.objective.temperature=0.3"])
    assert recipe.objective is None
    assert recipe.all_terms()[0].objective.parameters == {"temperature": 0.3}


def test_precision_needs_no_quotes() -> None:
    assert load_recipe("sonar/plain", [*GIVEN, "train.precision=32"]).train.precision == "32"


def test_a_resolved_recipe_reads_back_equal_and_says_everything() -> None:
    recipe = resolve(load_recipe("sonar/plain", GIVEN))
    assert recipe.encoder.parameters == {"width": 32, "heads": 4}
    assert recipe.views.parameters == {"gain": [0.5, 2.0]}
    assert recipe.data.parameters == {"path": "x", "rate": 8000, "copy": False}
    text = to_yaml(recipe)
    again = load_recipe(write("resolved.yaml", text))
    assert again == recipe
    assert resolve(again) == recipe
    assert to_yaml(again) == text
    assert again != load_recipe("resolved.yaml", ["optim.lr=2e-3"])


@pytest.mark.parametrize(
    "value", ["1e-3", "on", "null", "3", "", "~", "a: b", "'", "ünï", "0x1", ".5", "1_000", "2020-01-01", "- x"]
)
def test_any_text_survives_writing_and_reading(value: str) -> None:
    recipe = load_recipe("sonar/plain", {"data.path": value})
    assert load_recipe(write("again.yaml", to_yaml(recipe))) == recipe


@pytest.mark.parametrize("value", [1e-5, 1e20, 0.1, 1 / 3, -2.5e-300, 3.0])
def test_numbers_survive_writing_and_reading(value: float) -> None:
    recipe = load_recipe("sonar/plain", {"data.path": value})
    again = load_recipe(write("again.yaml", to_yaml(recipe)))
    assert repr(again.data.parameters["path"]) == repr(value)


def test_loading_imports_neither_torch_nor_a_component(sonar_site: Path) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(sonar_site)!r})\n"
        "from manyviews.recipe.load import load_recipe\n"
        "load_recipe('sonar/plain', ['data.path=x'])\n"
        "assert not {'torch', 'numpy', 'sonar_scratch.parts'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_recipe_inside_a_zipped_package(sonar_site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    archive = shutil.make_archive(str(tmp_path / "wheel"), "zip", sonar_site)
    code = (
        f"import sys; sys.path.insert(0, {archive!r})\n"
        "from manyviews.recipe.load import load_recipe\n"
        "assert load_recipe('sonar/wide', ['data.path=x']).encoder.parameters == {'width': 128}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_circle_is_refused_with_its_members() -> None:
    write("a.yaml", "extends: b.yaml")
    write("b.yaml", "extends: [sonar/plain, a.yaml]")
    with pytest.raises(RecipeError, match=r"extends: a circle of recipes: a\.yaml -> b\.yaml -> a\.yaml"):
        load_recipe("a.yaml")
