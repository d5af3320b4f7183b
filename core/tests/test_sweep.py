"""Sweeps: what is tried, each trial once, what an interruption leaves, and how it looks in MLflow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from manyviews.cli.main import run
from manyviews.errors import RecipeError, UserError
from manyviews.recipe.load import to_yaml
from manyviews.recipe.model import Recipe
from manyviews.sweep import worker
from manyviews.sweep.plan import Plan, enqueue, next_trial, open_study, read_plan, take_back_killed, write_plan
from manyviews.sweep.space import parse_space, split_commas

MakeRecipe = Callable[..., Recipe]


@pytest.fixture
def recipe(toy_recipe: MakeRecipe, tmp_path: Path) -> Path:
    path = tmp_path / "toy.yaml"
    path.write_text(to_yaml(toy_recipe(train__steps=4, evaluate=[{"task": "knn"}])))
    return path


def test_arguments_are_fixed_values_choices_or_ranges() -> None:
    space = parse_space(
        "a,b", ["x=1", "y=1,2", "z=[1,2],[3]", "n={a: 1, b: 2}", "lr=1e-4..1e-2:log", "d=1..4", "w=0.5..1", 's="a,b"']
    )
    assert space.fixed == ("x=1", "n={a: 1, b: 2}", 's="a,b"')
    assert space.choices == {"recipe": ("a", "b"), "y": ("1", "2"), "z": ("[1,2]", "[3]")}
    assert (space.ranges["lr"].low, space.ranges["lr"].high, space.ranges["lr"].log) == (1e-4, 1e-2, True)
    assert space.ranges["d"].whole
    assert not space.ranges["w"].whole
    assert len(space.grid()) == 8
    assert space.ends()[1] == {"lr": 1e-2, "d": 4, "w": 1.0}
    assert split_commas("a, 'b,c' ,(d,e)") == ["a", "'b,c'", "(d,e)"]


@pytest.mark.parametrize(("argument", "words"), [("lr=1..1", "empty"), ("lr=0..1:log", "above 0"), ("lr", "key=low..high")])
def test_a_range_that_is_none_is_said(argument: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        parse_space("a", [argument])


def test_each_combination_is_given_out_once_and_an_interrupted_one_again(tmp_path: Path) -> None:
    plan = Plan(name="s", space=parse_space("a", ["x=1,2", "y=p,q"]), metric="m", lower=False, trials=4, seed=0)
    write_plan(tmp_path, plan)
    assert read_plan(tmp_path) == plan
    one, two = open_study(tmp_path, plan), open_study(tmp_path, plan, 1)
    enqueue(one, plan)
    enqueue(two, plan)
    taken = [next_trial(tmp_path, plan, study) for study in (one, two, one)]
    assert len({str(trial.params) for trial in taken if trial}) == 3
    for trial in taken[:2]:
        assert trial is not None
        one.tell(trial.number, 0.5)
    assert take_back_killed(open_study(tmp_path, plan)) == 1, "the third was going on when its process was killed"
    study = open_study(tmp_path, plan)
    rest = [next_trial(tmp_path, plan, study) for _ in range(3)]
    assert rest[2] is None
    assert {str(trial.params) for trial in rest if trial} & {str(taken[2] and taken[2].params)}
    with pytest.raises(UserError, match="not a sweep"):
        read_plan(tmp_path / "elsewhere")


def test_ranges_are_drawn_as_often_as_asked(tmp_path: Path) -> None:
    plan = Plan(name="s", space=parse_space("a", ["lr=1e-4..1e-2:log"]), metric="m", lower=False, trials=3, seed=0)
    study = open_study(tmp_path, plan)
    enqueue(study, plan)
    values = []
    while (trial := next_trial(tmp_path, plan, study)) is not None:
        values.append(trial.params["lr"])
        study.tell(trial.number, 1.0)
    assert len(set(values)) == 3
    assert all(1e-4 <= value <= 1e-2 for value in values)


@pytest.mark.slow
def test_seeds_and_objectives_as_one_sweep_nested_in_mlflow(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    words = ["sweep", str(recipe), "objective.loss=mse,l1", "train.seed=0,1", "--folder", str(tmp_path / "sweeps")]
    assert run([*words, f"track={{uri: '{uri}', log_model: false, report: false}}"]) == 0
    out = capsys.readouterr().out
    assert "A  objective.loss=mse  (2 runs)" in out
    assert "eval/knn/accuracy" in out
    folder = Path(out.splitlines()[0])
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("toy")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [one for one in runs if one.info.run_name == folder.name]
    children = [one for one in runs if one.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(children) == 4
    assert {one.data.params["train.seed"] for one in children} == {"0", "1"}
    assert "comparison.txt" in [item.path for item in client.list_artifacts(parent.info.run_id)]
    assert len(client.get_metric_history(parent.info.run_id, "sweep/train/loss")) == 4
    assert run(["sweep", "--resume", str(folder)]) == 0
    assert len(client.search_runs([experiment.experiment_id])) == 5, "nothing is left to be run"


def test_a_failing_trial_is_told_and_the_others_run(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "sweep",
        str(recipe),
        "data.samples=96,1",
        "train.batch_size=1,16",
        "unit=sample",
        "views.name=noise",
        "views.share=null",
    ]
    assert run([*words, "--folder", str(tmp_path / "no")]) == 2, "views.share is no parameter of these views: refused at once"
    assert not (tmp_path / "no").exists()
    capsys.readouterr()
    words = ["sweep", str(recipe), "data.samples=96,0.5", "--folder", str(tmp_path / "no")]
    assert run(words) == 2
    assert "data.samples" in capsys.readouterr().err
    assert run(["sweep", str(recipe), "--metric", "eval/nothing/accuracy", "--folder", str(tmp_path / "sweeps")]) == 0
    out = capsys.readouterr().out
    assert "trial 0 failed: --metric" in out
    assert "eval/knn/accuracy" in out


def test_a_trial_that_raises_waits_again(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from optuna.trial import TrialState

    plan = Plan(name="s", space=parse_space(str(recipe), []), metric="train/loss", lower=True, trials=1, seed=0)
    write_plan(tmp_path, plan)
    enqueue(open_study(tmp_path, plan), plan)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "pretrain", interrupted)
    with pytest.raises(KeyboardInterrupt):
        worker.work(tmp_path)
    assert [trial.state for trial in open_study(tmp_path, plan).get_trials()] == [TrialState.FAIL, TrialState.WAITING]


@pytest.mark.slow
def test_workers_share_the_trials(recipe: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = [
        "sweep",
        str(recipe),
        "optim.lr=1e-4..1e-2:log",
        "--metric",
        "eval/knn/accuracy",
        "--trials",
        "3",
        "--workers",
        "2",
    ]
    assert run([*words, "--folder", str(tmp_path / "sweeps")]) == 0
    out = capfd.readouterr().out
    assert sum(line.startswith("trial ") for line in out.splitlines()) == 3
    (folder,) = (tmp_path / "sweeps").iterdir()
    assert len(list(folder.glob("*/run.json"))) == 3


def test_a_search_must_say_what_it_searches_by(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sweep", str(recipe), "optim.lr=1e-4..1e-2"]) == 2
    assert "--metric" in capsys.readouterr().err
    assert run(["sweep", str(recipe), "optim.lr=1e-4..1e-2", "--metric", "eval/knn/accuracy"]) == 2
    assert "--trials" in capsys.readouterr().err
