"""A run that was stopped and goes on is the run that was not stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from manyviews.engine import checkpoint
from manyviews.engine.pace import CLOCKS
from manyviews.engine.pretrain import pretrain
from manyviews.engine.run import Run
from manyviews.errors import UserError
from manyviews.recipe.model import Recipe

Make = Callable[..., Recipe]
DROPOUT = {"encoder__dropout": 0.2}


def journal(run: Run) -> dict[tuple[int, str], float]:
    """Every metric that the machine's speed has no part in; fails where one of a step is there twice."""
    found: dict[tuple[int, str], float] = {}
    for line in run.metrics():
        for key, value in line.metrics.items():
            assert (line.step, key) not in found, "a step is in the journal twice"
            found[line.step, key] = value
    return {key: value for key, value in found.items() if key[1].removeprefix("train/") not in CLOCKS}


def weights(run: Run) -> dict[str, torch.Tensor]:
    return checkpoint.read_weights(run.checkpoint)


def test_two_seeded_runs_are_bitwise_equal_and_another_seed_is_not(toy_recipe: Make) -> None:
    first, second, other = (pretrain(toy_recipe(**DROPOUT, train__seed=seed)) for seed in (0, 0, 1))
    assert journal(first) == journal(second)
    assert journal(first) != journal(other)
    assert all(torch.equal(a, b) for a, b in zip(weights(first).values(), weights(second).values(), strict=True))


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"objective": {"name": "jepa"}, "optim": {"name": "adamw", "final_weight_decay": 0.1, "clip": 0.5}},
        {"objective": {"name": "byol"}, "views": {"name": "noise"}, "optim": {"name": "lars", "schedule": "infinite"}},
        {
            "objective": {"name": "dino", "out": 32, "hidden": 16, "bottleneck": 8},
            "views": {"name": "masked_views"},
            "train__accumulate": 2,
            "optim__name": "sgd",
        },
    ],
    ids=["masked", "jepa", "byol-lars", "dino-accumulate"],
)
def test_resumed_run_equals_the_uninterrupted_one(toy_recipe: Make, parts: dict[str, Any], monkeypatch: Any) -> None:
    recipe = toy_recipe(**DROPOUT, **parts, train__watch_every=3, train__log_every=3)
    whole = pretrain(recipe)
    stopped = interrupted(recipe, after=7, monkeypatch=monkeypatch)
    assert checkpoint.last(stopped.folder).name == "step-00000004"
    resumed = pretrain(resume=stopped.folder)
    assert resumed.folder == stopped.folder
    assert journal(resumed) == journal(whole)
    assert all(torch.equal(a, b) for a, b in zip(weights(resumed).values(), weights(whole).values(), strict=True))


def interrupted(recipe: Recipe, after: int, monkeypatch: Any) -> Run:
    """The run, its process gone (nothing is saved, nothing tidied up) in the step behind `after`."""
    from manyviews.engine.trainer import Trainer

    class Gone(BaseException):
        pass

    step = Trainer._step

    def dying(self: Trainer, batches: Any) -> None:
        if self.step == after:
            raise Gone
        step(self, batches)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_step", dying)
        with pytest.raises(Gone):
            pretrain(recipe)
    return Run.open(max(Path(recipe.train.folder).iterdir()))


def test_a_finished_run_can_be_resumed_and_stays_as_it_is(toy_recipe: Make) -> None:
    run = pretrain(toy_recipe())
    before = journal(run)
    assert journal(pretrain(resume=run.folder)) == before


SCRIPT = """
import sys, torch
torch.set_num_threads(1)
from manyviews.engine.pace import CLOCKS
from manyviews.engine.pretrain import pretrain
pretrain(sys.argv[1]) if sys.argv[2] == "new" else pretrain(resume=sys.argv[1])
"""


def start(recipe: Recipe, tmp_path: Path) -> tuple[subprocess.Popen[bytes], Path]:
    """The run in a process of its own, and its folder once it has a checkpoint."""
    from manyviews.recipe.load import to_yaml

    path = tmp_path / "long.yaml"
    path.write_text(to_yaml(recipe))
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(path), "new"], stderr=subprocess.PIPE)
    folder = Path(recipe.train.folder)
    deadline = time.monotonic() + 60
    while not list(folder.glob("*/checkpoints/step-*/manifest.json")):
        assert process.poll() is None, process.stderr.read().decode() if process.stderr else ""
        assert time.monotonic() < deadline, "no checkpoint within a minute"
        time.sleep(0.01)
    return process, next(folder.iterdir())


@pytest.mark.slow
def test_kill_minus_nine_at_any_moment_loses_nothing(toy_recipe: Make, tmp_path: Path) -> None:
    recipe = toy_recipe(**DROPOUT, train__steps=200, train__checkpoint_every=10, train__log_every=5)
    whole = pretrain(recipe.model_copy(update={"train": recipe.train.model_copy(update={"folder": str(tmp_path / "whole")})}))
    process, folder = start(recipe, tmp_path)
    process.kill()
    process.communicate()
    assert checkpoint.read_manifest(checkpoint.last(folder))["step"] < 200
    resumed = pretrain(resume=folder)
    assert journal(resumed) == journal(whole)
    assert all(torch.equal(a, b) for a, b in zip(weights(resumed).values(), weights(whole).values(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_the_run_with_a_checkpoint_of_the_last_step(toy_recipe: Make, tmp_path: Path, number: int) -> None:
    process, folder = start(toy_recipe(train__steps=100_000, train__checkpoint_every=10), tmp_path)
    os.kill(process.pid, number)
    process.communicate(timeout=30)
    assert json.loads((folder / "run.json").read_text())["status"] == "KILLED"
    last = checkpoint.read_manifest(checkpoint.last(folder))["step"]
    assert 10 <= last < 100_000
    assert process.returncode == 0  # the caller of `pretrain` goes on; the command line makes 128 + signal of it


def test_a_folder_is_begun_and_then_gone_on_with(toy_recipe: Make, tmp_path: Path) -> None:
    """The same call, as a requeued job makes it: before the first checkpoint, behind one, and when all is done."""
    recipe, folder = toy_recipe(**DROPOUT), tmp_path / "job"
    whole = pretrain(recipe)
    folder.mkdir()
    run = pretrain(recipe, folder=folder)
    assert run.folder == folder
    assert journal(run) == journal(whole)
    shutil.rmtree(folder / "checkpoints" / "step-00000012")
    assert journal(pretrain(recipe, folder=folder)) == journal(whole)
    shutil.rmtree(folder / "checkpoints")
    assert journal(pretrain(recipe, folder=folder)) == journal(whole)
    assert all(torch.equal(a, b) for a, b in zip(weights(run).values(), weights(whole).values(), strict=True))


def test_a_folder_with_something_else_is_refused(toy_recipe: Make, tmp_path: Path) -> None:
    pretrain(toy_recipe(), folder=tmp_path / "job")
    with pytest.raises(UserError, match=r"job: holds a run of another recipe: optim\.lr is 0\.001 there and 0\.1 here"):
        pretrain(toy_recipe(optim__lr=0.1), folder=tmp_path / "job")
    pretrain(toy_recipe(train__workers=1), folder=tmp_path / "job")  # where it runs is free
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").touch()
    with pytest.raises(UserError, match="letters: is there and no run's folder"):
        pretrain(toy_recipe(), folder=tmp_path / "letters")


def test_only_where_it_runs_can_be_said_of_a_resumed_run(toy_recipe: Make, tmp_path: Path) -> None:
    run = pretrain(toy_recipe(), folder=tmp_path / "job")
    with pytest.raises(UserError, match=r"train\.batch_size: a resumed run goes on by its own recipe; .* train\.devices"):
        pretrain(resume=run.folder, train={"batch_size": 4})
    with pytest.raises(UserError, match=r"train\.devices: the 16 samples of a step cannot be shared out among 3 processes"):
        pretrain(resume=run.folder, train={"devices": 3})
    with pytest.raises(UserError, match="goes on by its own recipe: give `resume`, and of `train` where"):
        pretrain(resume=run.folder, optim={"lr": 1.0})


def test_workers_see_the_same_batches(toy_recipe: Make) -> None:
    alone, helped = (pretrain(toy_recipe(train__workers=workers, train__steps=3)) for workers in (0, 1))
    assert journal(alone) == journal(helped)
