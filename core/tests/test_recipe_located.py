"""What a part says against its parameters, whenever it says it, names the key and the place where that was written."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from manyviews.engine.pretrain import pretrain
from manyviews.errors import DataError, RecipeError, UserError, keyed
from manyviews.recipe.errors import located
from manyviews.recipe.load import load_recipe
from manyviews.recipe.model import Recipe
from manyviews.testing.fixtures import TOY

Make = Callable[..., Recipe]


def refusal(recipe: Recipe) -> str:
    with pytest.raises(UserError) as caught:
        pretrain(recipe)
    message = str(caught.value)
    assert len(message.splitlines()) <= 3, message
    return message


def test_a_head_that_cannot_be_built(toy_recipe: Make) -> None:
    message = refusal(toy_recipe(objective__heads=7))
    assert message.startswith("objective: width 64 does not divide by 7 heads")
    assert message.endswith("\n  in the arguments")


def test_of_several_terms_the_one_that_cannot_be_built(toy_domain: None, tmp_path: Path) -> None:
    term = {"views": {"name": "random_mask"}, "objective": {"name": "masked_reconstruction"}}
    bad = {**term, "objective": {"name": "jepa", "heads": 7}}
    recipe = {key: value for key, value in TOY.items() if key not in ("views", "objective")}
    message = refusal(load_recipe({**recipe, "terms": [term, bad]}, {"train.folder": str(tmp_path)}))
    assert message.startswith("terms.1.objective: width 64 does not divide by 7 heads")


@pytest.mark.parametrize(
    ("line", "overrides", "message"),
    [
        ("encoder: {name: transformer, width: 10, heads: 4}", [], "encoder: width 10 does not divide by 4 heads"),
        ("encoder: {name: transformer}", ["encoder.heads=3"], "encoder: width 16 does not divide by 3 heads"),
        ("train: {steps: 4, batch_size: 90}", [], "train.batch_size: 90 is more than the 48 training samples"),
        ("views: {name: masked_views, global_hidden: [0.5, 0.3]}", [], "views: global_hidden"),
    ],
)
def test_the_file_and_line_of_what_a_constructor_refuses(
    line: str, overrides: list[str], message: str, toy_domain: None, tmp_path: Path
) -> None:
    key = line.partition(":")[0]
    lines = {
        "domain": "domain: toy",
        "data": "data: {source: series, samples: 96}",
        "encoder": "encoder: {name: transformer}",
        "views": "views: {name: noise}",
        "objective": "objective: {name: vicreg}",
        "train": "train: {steps: 4, batch_size: 16}",
        "track": "track: null",
    } | {key: line}
    file = tmp_path / "mine.yaml"
    file.write_text("\n".join(lines.values()) + "\n")
    said = refusal(load_recipe(file, [*overrides, f"train.folder={tmp_path}"]))
    assert said.startswith(message)
    place = "the command line" if overrides else f"mine.yaml:{list(lines).index(key) + 1}"
    assert said.endswith(place)


@pytest.mark.usefixtures("sonar")
def test_bad_data_stay_bad_data_and_say_where_they_were_named() -> None:
    from manyviews.engine.parts import build_source

    with pytest.raises(DataError) as caught:
        build_source(load_recipe("sonar/plain", ["data.path=nowhere"]))
    assert str(caught.value) == "data: nowhere: there are no recordings\n  in the command line"


def test_a_place_never_makes_a_fourth_line(toy_recipe: Make) -> None:
    for lines, expected in {
        1: "data: a\n  in the arguments",
        2: "data: a\na\n  in the arguments",
        3: "data: a (in the arguments)\na\na",
    }.items():
        with pytest.raises(UserError) as caught, located(toy_recipe(data__samples=3)), keyed("data"):
            raise UserError("\n".join("a" * lines))
        assert str(caught.value) == expected


def test_who_knows_its_key_keeps_it_and_it_travels() -> None:
    with pytest.raises(RecipeError) as caught, keyed("data"):
        raise RecipeError("optim.lr: no", key="optim.lr", where="x.yaml:3")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.key) == ("optim.lr: no\n  in x.yaml:3", "optim.lr")


def test_an_error_that_says_its_key_is_not_told_of_it_twice() -> None:
    for said, told in (("data.path: there is no x", "data.path: there is no x"), ("database gone", "data: database gone")):
        with pytest.raises(UserError) as caught, keyed("data"):
            raise DataError(said)
        assert str(caught.value) == told
