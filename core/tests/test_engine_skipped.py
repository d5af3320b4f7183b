"""What a source left out is said, listed in the run's folder, tagged and stored in MLflow; what it remarks is said."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from manyviews.engine.pretrain import pretrain
from manyviews.recipe.model import Recipe
from manyviews.testing.toy import ToySource

Make = Callable[..., Recipe]


def test_it_is_said_listed_and_tagged(toy_recipe: Make, capsys: pytest.CaptureFixture[str]) -> None:
    source = ToySource(samples=96)
    source.skipped = ["a.bin: empty", "b.bin: cut short\nat byte 7"]
    run = pretrain(toy_recipe(train__steps=2), source=source)
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Left out")]
    assert told == [
        f"Left out of the data: 2 items that cannot be used, listed in {run.folder / 'skipped.txt'}; the first: a.bin: empty"
    ]
    assert (run.folder / "skipped.txt").read_text() == "a.bin: empty\nb.bin: cut short at byte 7\n"
    assert json.loads((run.folder / "run.json").read_text())["tags"]["manyviews.skipped"] == "2"


def test_where_nothing_was_left_out_nothing_is_said(toy_recipe: Make, capsys: pytest.CaptureFixture[str]) -> None:
    run = pretrain(toy_recipe(train__steps=2))
    assert "Left out" not in capsys.readouterr().err
    assert not (run.folder / "skipped.txt").exists()
    assert "manyviews.skipped" not in json.loads((run.folder / "run.json").read_text())["tags"]


def test_what_a_source_remarks_is_said_once(toy_recipe: Make, capsys: pytest.CaptureFixture[str]) -> None:
    source = ToySource(samples=96)
    source.remarks = ["all is silent; `data.loud=true`"]
    run = pretrain(toy_recipe(train__steps=2), source=source)
    assert capsys.readouterr().err.count("manyviews: all is silent; `data.loud=true`\n") == 1
    pretrain(resume=run.folder, source=source)
    assert "all is silent" not in capsys.readouterr().err
