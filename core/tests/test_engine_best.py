"""The best step of a run: kept, found again, gone on with; early stopping; checkpoints judged beside one another."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from manyviews.engine import checkpoint
from manyviews.engine.best import Best
from manyviews.engine.choose import judge_checkpoints
from manyviews.engine.load import load_trained
from manyviews.engine.pretrain import pretrain
from manyviews.engine.run import Run
from manyviews.errors import CheckpointError, UserError
from manyviews.recipe.model import Recipe

Make = Callable[..., Recipe]
RANK = "eval/effective_rank/effective_rank"
TASKS = [{"task": "effective_rank", "every": 2}, {"task": "spread", "every": 2}]


def readings(run: Run, metric: str) -> dict[int, float]:
    return {entry.step: entry.metrics[metric] for entry in run.metrics() if metric in entry.metrics}


def recipe(make: Make, **overrides: Any) -> Recipe:
    return make(**{"evaluate": TASKS, "train__steps": 12, "train__best": RANK, "train__keep_checkpoints": 1, **overrides})


def test_the_best_steps_checkpoint_is_kept_beside_the_last(toy_recipe: Make) -> None:
    run = pretrain(recipe(toy_recipe))
    seen = readings(run, RANK)
    best = max(seen, key=lambda step: (seen[step], -step))
    assert run.best.name == f"step-{best:08d}"
    assert {path.name for path in checkpoint.checkpoints(run.folder / "checkpoints")} == {run.best.name, "step-00000012"}
    assert load_trained(run.best).manifest["step"] == best
    told = json.loads((run.folder / "best.json").read_text())
    assert (told["metric"], told["value"]) == (RANK, seen[best])


def test_patience_ends_the_run_for_good(toy_recipe: Make) -> None:
    run = pretrain(recipe(toy_recipe, train__best="eval/spread/dead_share", train__patience=2))
    assert list(readings(run, "eval/spread/dead_share")) == [2, 4, 6], "two looks that were no better than the first"
    assert json.loads((run.folder / "run.json").read_text())["status"] == "FINISHED"
    before = readings(run, RANK)
    assert readings(pretrain(resume=run.folder), RANK) == before


def test_a_resumed_run_finds_the_same_best(toy_recipe: Make) -> None:
    plan = recipe(toy_recipe, train__checkpoint_every=4, train__keep_checkpoints=9)
    run = pretrain(plan)
    whole, told = readings(run, RANK), (run.folder / "best.json").read_text()
    for folder in checkpoint.checkpoints(run.folder / "checkpoints"):
        if int(folder.name[5:]) > 4:
            shutil.rmtree(folder)
    again = pretrain(resume=run.folder)
    assert readings(again, RANK) == whole
    assert (run.folder / "best.json").read_text() == told


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"train__best": "eval/efective_rank/effective_rank"}, "Did you mean `eval/effective_rank/effective_rank`"),
        ({"train__best": "eval/spread/std_mean"}, "no evaluation during training gives 'eval/spread/std_mean'"),
        ({"evaluate": [{"task": "effective_rank"}]}, "none; give a task of `evaluate` an `every`"),
        ({"train__best": None, "train__patience": 3}, "say which reading that is"),
    ],
)
def test_a_best_that_there_cannot_be_is_refused(toy_recipe: Make, overrides: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        pretrain(recipe(toy_recipe, **overrides))


def test_a_run_that_kept_no_best_says_how(toy_recipe: Make) -> None:
    run = pretrain(recipe(toy_recipe, train__best=None))
    with pytest.raises(CheckpointError, match=r"set train\.best"):
        _ = run.best


def test_checkpoints_are_judged_beside_one_another(toy_recipe: Make) -> None:
    run = pretrain(recipe(toy_recipe, train__checkpoint_every=4, train__keep_checkpoints=9))
    table = judge_checkpoints(run.folder, tasks=("effective_rank", "knn"))
    names = [folder.name for folder in checkpoint.checkpoints(run.folder / "checkpoints")]
    assert [row.representation for row in table.rows if row.task == "knn"] == names
    assert len({row.scores.metrics["effective_rank"] for row in table.rows if row.task == "effective_rank"}) == len(names)


def test_ties_keep_the_first_and_lower_may_be_better() -> None:
    best = Best("m", "lower", patience=2)
    assert [best.look(step, {"m": value}) for step, value in enumerate([3.0, 2.0, 2.0])] == ["keep", "keep", "on"]
    assert best.look(3, {"other": 0.0}) == "on"
    assert best.look(4, {"m": 2.5}) == "end"
    assert best.step == 1
