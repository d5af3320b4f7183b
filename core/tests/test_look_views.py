"""Pictures of views: what is shown, what is covered, and what is said where nothing can be drawn."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from manyviews.cli.main import run
from manyviews.engine.parts import build_encoder, build_renderer, build_source
from manyviews.engine.pretrain import check
from manyviews.errors import UserError
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.look.marks import mark_cells, to_grid
from manyviews.look.style import drawing, figure
from manyviews.look.views import draw_columns, make_columns, views_figure
from manyviews.mask import Mask
from manyviews.recipe.model import Recipe
from manyviews.renderer import Shown
from manyviews.testing.toy import ToyLines
from manyviews.view import View

MakeRecipe = Callable[..., Recipe]


def test_a_unit_knows_its_own_tokens() -> None:
    layout = Layout(Lengths.of([2, 3]), positions=torch.tensor([0.0, 1, 0, 1, 2])[:, None])
    hidden = Mask(torch.tensor([[True, False, False, True, True]]))
    asked = Mask(torch.tensor([[False, False, False, False, True], [True, False, True, False, False]]))
    second = Shown(View(None, layout, hidden, asked), 1)
    assert second.tokens == slice(2, 5)
    assert second.hidden.tolist() == [False, True, True]
    assert second.asked.tolist() == [[False, False, True], [True, False, False]]
    assert second.places is not None
    assert second.places.tolist() == [[0.0], [1.0], [2.0]]
    whole = Shown(View(None, layout), 0)
    assert not whole.hidden.any()
    assert whole.asked.shape == (0, 2)


def test_tokens_come_to_their_places_on_a_grid() -> None:
    places = np.array([[0.0, 10], [0, 20], [5, 10]], dtype=np.float32)
    assert to_grid(np.array([1.0, 2, 3]), places, 0.0).tolist() == [[1, 2], [3, 0]]


def test_columns_are_the_data_and_each_terms_views(toy_recipe: MakeRecipe) -> None:
    terms = [
        {"views": {"name": "random_mask"}, "objective": {"name": "masked_reconstruction"}},
        {"views": {"name": "noise", "views": 3}, "objective": {"name": "vicreg"}},
    ]
    recipe = check(toy_recipe(views=None, objective=None, terms=terms))
    source = build_source(recipe)
    columns = make_columns(recipe, source, build_encoder(recipe, source.spec), samples=3, seed=1)
    assert [column.title for column in columns] == ["data", "term 0, view 1", *(f"term 1, view {n}" for n in (1, 2, 3))]
    assert {len(column.units) for column in columns} == {3}
    assert columns[1].units[0].hidden.any()
    assert columns[1].units[0].original.view is columns[0].units[0].view
    again = make_columns(recipe, source, build_encoder(recipe, source.spec), samples=3, seed=1)
    assert torch.equal(again[2].units[0].view.batch.steps, columns[2].units[0].view.batch.steps)


def test_tokens_of_a_single_sample_have_rows_of_their_own(toy_recipe: MakeRecipe) -> None:
    recipe = check(toy_recipe(unit="token", data__samples=1, train__batch_size=1))
    source = build_source(recipe)
    columns = make_columns(recipe, source, build_encoder(recipe, source.spec), samples=3, seed=0)
    places = [unit.token for unit in columns[0].units]
    assert len(set(places)) == 3
    assert {unit.sample for unit in columns[0].units} == {0}


def test_the_recipe_may_choose_how_it_is_drawn(toy_recipe: MakeRecipe) -> None:
    recipe = check(toy_recipe(renderer={"name": "lines", "width": 3}))
    axes = views_figure(recipe, samples=2).axes
    assert axes[0].lines[0].get_linewidth() == 3
    assert len(axes) == 4
    with pytest.raises(UserError, match=r"renderer\.width"):
        check(toy_recipe(renderer={"name": "lines", "width": -1}))
    with pytest.raises(UserError, match="renderer"):
        toy_recipe(renderer={"name": "circles"})


def test_the_command_writes_a_picture(toy_recipe: MakeRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from manyviews.recipe.load import to_yaml

    (tmp_path / "toy.yaml").write_text(to_yaml(toy_recipe()))
    picture = tmp_path / "views.png"
    assert run(["show-views", str(tmp_path / "toy.yaml"), "data.length=5", "-o", str(picture), "--samples", "2"]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out.strip() == str(picture)
    assert run(["show-views", str(tmp_path / "toy.yaml"), "-o", str(tmp_path / "views.gif")]) == 2
    assert ".png, .svg, .pdf" in capsys.readouterr().err


def test_without_matplotlib_it_says_what_to_install(toy_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, find = check(toy_recipe()), importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find(name))
    with pytest.raises(UserError, match=r'pip install "manyviews\[report\]"'):
        build_renderer(recipe, build_source(recipe).spec)


def test_marks_on_one_of_several_pictures_leave_the_others_in_sight() -> None:
    with drawing():
        axes = figure(3, 1).subplots()
        axes.imshow(np.zeros((4, 12, 3)), extent=(0, 12, 4, 0))
        mark_cells(axes, np.eye(2, dtype=bool), [], (8, 12, 4, 0))
        assert axes.get_xlim() == (0, 12)
        assert axes.get_ylim() == (4, 0)


def test_a_column_is_as_wide_as_its_pictures(toy_recipe: MakeRecipe) -> None:
    recipe = check(toy_recipe())
    source = build_source(recipe)
    columns = make_columns(recipe, source, build_encoder(recipe, source.spec), samples=2, seed=1)

    class Wide(ToyLines):
        def size_of(self, shown: Shown) -> tuple[float, float]:
            return (3.0 if shown.data is None else 1.0), 2.0

    made = draw_columns(Wide(), columns)
    assert made.get_figwidth() == 4.0
    data, view = made.axes[:2]
    assert data.get_position().width / view.get_position().width == pytest.approx(3.0)
