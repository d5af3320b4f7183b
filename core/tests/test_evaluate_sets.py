"""Several labelled sets for one encoder, and folds, in training and of a finished run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from manyviews.engine.judge import evaluate_run
from manyviews.engine.pretrain import pretrain
from manyviews.errors import RecipeError
from manyviews.recipe.model import Recipe

Make = Callable[..., Recipe]
SETS = {"noisy": {"noise": 4.0}, "clean": {"noise": 0.1, "seed": 3}}
TASKS = [
    {"task": "knn", "k": 3, "every": 2},
    {"task": "knn", "k": 3, "every": 2, "set": "noisy"},
    {"task": "knn", "k": 3, "set": "clean"},
    {"task": "knn", "k": 3, "folds": 4},
]


def told(run: Any) -> set[str]:
    return {name for entry in run.metrics() for name in entry.metrics if name.startswith("eval/") and "accuracy" in name}


def test_each_set_is_judged_by_its_own_tasks(toy_recipe: Make) -> None:
    run = pretrain(toy_recipe(evaluate=TASKS, sets=SETS, data__samples=48, train__steps=2))
    names = ("knn", "knn_on_noisy", "knn_on_clean", "knn_4_folds")
    assert {name for name in told(run) if name.endswith("/accuracy")} == {f"eval/{name}/accuracy" for name in names}
    table = evaluate_run(run.folder)
    found: Mapping[str, float] = {
        row.task: row.scores.metrics["accuracy"] for row in table.rows if row.representation == "raw input"
    }
    assert set(found) == set(names)
    assert found["knn_on_noisy"] < found["knn"] <= found["knn_on_clean"] == 1.0


def test_a_set_that_is_not_there_and_parameters_that_do_not_fit(toy_recipe: Make) -> None:
    with pytest.raises(RecipeError, match=r"evaluate.0.set: 'nosy' is no set; `sets` has: noisy, clean"):
        pretrain(toy_recipe(evaluate=[{"task": "knn", "set": "nosy"}], sets=SETS))
    with pytest.raises(RecipeError, match=r"sets.noisy.noize: unknown key"):
        pretrain(toy_recipe(evaluate=[{"task": "knn", "set": "noisy"}], sets={"noisy": {"noize": 1.0}}))
