"""Runs beside one another: groups over seeds with their intervals, the best, what can be deleted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scipy.stats import t

from manyviews.cli.main import run
from manyviews.compare.direction import is_lower
from manyviews.compare.groups import choose_metrics, group_runs
from manyviews.compare.records import Record
from manyviews.errors import UserError
from manyviews.track.journal import Journal
from manyviews.track.record import RunRecord
from manyviews.track.run_file import RunFile, claim


def record(objective: str, seed: int, score: float, **more: str) -> Record:
    params = {"domain": "toy", "objective.name": objective, "train.seed": str(seed), "train.folder": f"f{seed}", **more}
    return Record(f"{objective}{seed}", "FINISHED", seed, params, {"eval/knn/accuracy": score}, {"manyviews.data": "d1"})


def make_run(folder: Path, objective: str, seed: int, score: float, status: str = "FINISHED", steps: int = 2) -> Path:
    folder.mkdir(parents=True)
    params = {"domain": "toy", "objective.name": objective, "train.seed": str(seed)}
    RunFile.begin(folder, RunRecord("toy", folder.name, "domain: toy\n", params, {"manyviews.data": "d1"}), None).change(
        status=status
    )
    with Journal(folder) as journal:
        for step in range(steps):
            journal.log(step, {"eval/knn/accuracy": score * (step + 1) / steps, "train/loss": 1.0 - score})
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    parent = tmp_path / "runs"
    for objective, scores in {"byol": (0.7, 0.8, 0.9), "vicreg": (0.6, 0.95, 0.55)}.items():
        for seed, score in enumerate(scores):
            make_run(parent / f"{objective}-{seed}", objective, seed, score)
    return parent


def test_runs_that_differ_in_their_seed_alone_are_one_group() -> None:
    groups = group_runs([record(name, seed, seed / 10) for seed in range(3) for name in ("byol", "vicreg")])
    assert [group.label for group in groups] == [{"objective.name": "byol"}, {"objective.name": "vicreg"}]
    assert [len(group.runs) for group in groups] == [3, 3]
    interval = groups[0].interval("eval/knn/accuracy")
    assert interval is not None
    assert interval.mean == pytest.approx(0.1)
    half = t.ppf(0.975, 2) * 0.1 / 3**0.5  # of 0, 0.1, 0.2: s = 0.1
    assert (interval.low, interval.high) == (pytest.approx(0.1 - half), pytest.approx(0.1 + half))
    assert groups[0].interval("eval/other") is None


def test_a_parts_parameters_are_named_where_its_name_does_not_say_all() -> None:
    one = [record("byol", 0, 0.1, **{"objective.width": "8"}), record("vicreg", 0, 0.1, **{"objective.gamma": "1"})]
    assert [group.label for group in group_runs(one)] == [{"objective.name": "byol"}, {"objective.name": "vicreg"}]
    two = [*one, record("byol", 0, 0.1, **{"objective.width": "16"})]
    assert [group.label.get("objective.width") for group in group_runs(two)] == ["8", None, "16"]
    other = Record("x", "FINISHED", 0, one[0].params, {}, {"manyviews.data": "d2"})
    assert len(group_runs([one[0], other])) == 2, "runs on other data are of another group"


def test_how_often_one_looks_makes_no_other_experiment() -> None:
    often, seldom = (record("byol", 0, 0.1, **{"evaluate.0.every": every, "train.watch_every": every}) for every in ("5", "50"))
    assert len(group_runs([often, seldom])) == 1


def test_of_several_domains_each_is_told_by_what_tells_it_from_its_own() -> None:
    of_toys = [record(name, 0, 0.1, **{"encoder.name": "mlp", "data.path": "a/toys.csv"}) for name in ("byol", "vicreg")]
    clip = {"domain": "sound", "objective.name": "byol", "encoder.name": "cnn", "data.rate": "8000", "optim.lr": "0.1"}
    groups = group_runs([*of_toys, Record("x", "FINISHED", 0, clip, {}, {"manyviews.data": "0123456789abcdef"})])
    assert groups[0].label == {"data": "toys.csv@d1", "domain": "toy", "encoder.name": "mlp", "objective.name": "byol"}
    assert groups[2].label == {"data": "0123456789abcdef", "domain": "sound", "encoder.name": "cnn", "objective.name": "byol"}


def test_metrics_are_those_asked_for_or_the_results() -> None:
    known = Record("x", "FINISHED", 0, {}, {"train/loss": 1, "eval/a/b": 1, "eval/a/b_std": 1}, {})
    assert choose_metrics([known], []) == ["eval/a/b"]
    assert choose_metrics([known], ["train/*"]) == ["train/loss"]
    judged = Record("x", "FINISHED", 0, {}, {"eval/a/b": 1, "result/a/pretrained_encoder/pooled/b": 1}, {})
    assert choose_metrics([judged], []) == ["result/a/pretrained_encoder/pooled/b"]


def test_compare_prints_means_and_intervals(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "compare", "--runs", str(runs), "--metric", "eval/*"]) == 0
    text = capsys.readouterr().out
    assert "A  objective.name=byol  (3 runs)" in text
    assert "0.8 [0.5516, 1.048]" in text
    assert run(["runs", "compare", "--runs", str(runs), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told[1]["group"] == {"objective.name": "vicreg"}
    assert told[1]["metrics"]["eval/knn/accuracy"]["mean"] == pytest.approx(0.7)


def test_best_is_one_run_and_says_what_it_chose_by(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", "best", "--runs", str(runs), "--metric", "eval/knn/accuracy"]) == 0
    assert capsys.readouterr().out.strip().endswith("vicreg-1")
    assert run(["runs", "best", "--runs", str(runs), "--metric", "train/loss"]) == 0
    assert capsys.readouterr().out.strip().endswith("vicreg-1")
    assert run(["runs", "best", "--runs", str(runs), "--metric", "eval/knn/acuracy"]) == 2
    assert "Did you mean `eval/knn/accuracy`?" in capsys.readouterr().err


def test_the_leaderboard_ranks_kinds_of_runs(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(runs / "other", "byol", 0, 0.99)
    RunFile.load(runs / "other").change(tags={"manyviews.data": "d2"})
    assert run(["runs", "leaderboard", "--runs", str(runs), "--metric", "eval/knn/accuracy"]) == 0
    first, second = capsys.readouterr().out.split("\n\n")
    assert first.startswith("toy, data d1: eval/knn/accuracy (higher is better)")
    lines = first.splitlines()
    assert "byol" in lines[2]
    assert lines[2].startswith("1 ")
    assert "vicreg" in lines[3]
    assert "data d2" in second
    assert run(["runs", "leaderboard", "--runs", str(runs), "--metric", "eval/knn/acuracy"]) == 2
    assert "Did you mean `eval/knn/accuracy`?" in capsys.readouterr().err


def test_which_way_is_better_must_be_known() -> None:
    assert is_lower("train/loss", None)
    assert not is_lower("eval/knn/accuracy", None)
    assert is_lower("eval/x/whatever", True)
    with pytest.raises(UserError, match="--lower"):
        is_lower("eval/x/whatever", None)


def test_gc_lists_and_deletes_what_can_go_and_nothing_else(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for step in (1, 2):
        saved = runs / "byol-0" / "checkpoints" / f"step-{step:08d}"
        saved.mkdir(parents=True)
        (saved / "manifest.json").write_text("{}")
    chosen = make_run(runs / "chosen", "byol", 7, 0.1)
    for step in (1, 2, 3):
        (chosen / "checkpoints" / f"step-{step:08d}").mkdir(parents=True)
        (chosen / "checkpoints" / f"step-{step:08d}" / "manifest.json").write_text("{}")
    (chosen / "best.json").write_text('{"step": 1}')
    torn = runs / "byol-0" / "checkpoints" / ".step-00000003.part"
    torn.mkdir()
    failed = make_run(runs / "failed", "byol", 5, 0.1, status="FAILED")
    busy = make_run(runs / "busy", "byol", 6, 0.1, status="RUNNING")
    lock = claim(busy)
    assert run(["runs", "gc", str(runs)]) == 0
    assert failed.exists(), "without --delete nothing goes"
    assert run(["runs", "gc", str(runs), "--delete"]) == 0
    lock.release()
    assert not failed.exists()
    assert not torn.exists()
    assert busy.exists()
    assert [path.name for path in sorted((runs / "byol-0" / "checkpoints").iterdir())] == ["step-00000002"]
    left = [path.name for path in sorted((chosen / "checkpoints").iterdir())]
    assert left == ["step-00000001", "step-00000003"], "the best one stays, and the last"
    assert (runs / "byol-1").exists(), "a finished run without a checkpoint stays"
    capsys.readouterr()


@pytest.mark.slow
def test_the_same_runs_compare_alike_from_a_store(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    for folder in sorted(runs.iterdir()):
        assert run(["runs", "sync", str(folder), "--uri", uri]) == 0
    capsys.readouterr()
    assert run(["runs", "compare", "--runs", str(runs), "--json", "--metric", "eval/*"]) == 0
    of_folders = json.loads(capsys.readouterr().out)
    assert run(["runs", "compare", "--experiment", "toy", "--uri", uri, "--json", "--metric", "eval/*"]) == 0
    of_store = json.loads(capsys.readouterr().out)
    assert {str(one["group"]): one["metrics"] for one in of_store} == {str(one["group"]): one["metrics"] for one in of_folders}
    assert run(["runs", "compare", "--experiment", "toys", "--uri", uri]) == 2
    assert "no experiment `toys`" in capsys.readouterr().err
