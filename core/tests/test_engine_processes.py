"""Two processes train one run: resumed exactly, and ended together, whatever reaches one of them alone.

The two processes are this file run as a script, which Fabric starts a second time: once for all tests, since each
process costs an import of torch. A stage that one process leaves alone would hang, which the time limit ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from manyviews.engine import checkpoint
from manyviews.engine.learner import Step
from manyviews.engine.mgda import MGDA
from manyviews.engine.model import Model
from manyviews.engine.pace import CLOCKS
from manyviews.engine.pretrain import pretrain
from manyviews.engine.run import Run
from manyviews.engine.trainer import Trainer
from manyviews.errors import UserError
from manyviews.recipe.load import load_recipe
from manyviews.recipe.model import Recipe
from manyviews.testing.apart import with_toys
from manyviews.testing.fixtures import TOY

pytestmark = pytest.mark.slow


def recipe(folder: Path, name: str, changes: Mapping[str, Any] | None = None, **train: Any) -> Recipe:
    """Dropout in the encoder, running statistics in the heads, a teacher; readings that fall beside the checkpoints."""
    parts = {"encoder.dropout": 0.2, "objective": {"name": "byol", "out": 8}, "views": {"name": "noise"}}
    two = {"device": "cpu", "devices": 2, "log_every": 3, "watch_every": 3, "folder": str(folder / name)}
    return load_recipe(TOY, {**parts, "train": two | train, **(changes or {})})


class Gone(BaseException):
    """A process is gone, and nothing was tidied up."""


def resume_stage(folder: Path, rank: int) -> None:
    pretrain(recipe(folder, "whole", accumulate=2))
    step = Trainer._step

    def dying(self: Trainer, batches: Any) -> None:
        if self.step == 7:
            raise Gone
        step(self, batches)

    Trainer._step = dying  # type: ignore[method-assign]
    try:
        pretrain(recipe(folder, "cut", accumulate=2))
    except Gone:
        Trainer._step = step  # type: ignore[method-assign]
    (run,) = (folder / "cut").iterdir()
    assert checkpoint.last(run).name == "step-00000004"
    pretrain(resume=run)


def mgda_stage(folder: Path, rank: int) -> None:
    """What each process steps by: the weights of two terms, and the gradients of encoder and heads."""
    combine, told = MGDA.combine, []

    def telling(self: MGDA) -> Any:
        weights = combine(self)
        gradients = [p.grad for p in (*self.shared, *self.own) if p.grad is not None]
        told.append([float(weight) for weight in weights.values()] + [float(gradient.sum()) for gradient in gradients])
        return weights

    MGDA.combine = telling  # type: ignore[method-assign]
    terms = [{"views": {"name": "noise"}, "objective": {"name": name}} for name in ("vicreg", "byol")]
    changes = {"views": None, "objective": None, "terms": terms, "combine": "mgda"}
    pretrain(recipe(folder, "mgda", steps=4, accumulate=2, checkpoint_every=None, changes=changes))
    MGDA.combine = combine  # type: ignore[method-assign]
    (folder / f"mgda-{rank}").write_text(json.dumps(told))


def nan_stage(folder: Path, rank: int) -> None:
    """The second process reports a NaN that no gradient carries over to the first."""
    forward = Model.forward

    def reporting(self: Model, step: Step) -> torch.Tensor:
        note = step.note
        if rank == 1:
            step.note = lambda metrics: note({**metrics, "loss": metrics["loss"] + torch.nan})
        return forward(self, step)

    Model.forward = reporting  # type: ignore[method-assign]
    try:
        pretrain(recipe(folder, "nan", log_every=1000))
    except UserError as error:
        (folder / f"nan-{rank}").write_text(str(error))
    finally:
        Model.forward = forward  # type: ignore[method-assign]


def signal_stage(folder: Path, rank: int) -> None:
    """SIGTERM reaches the second process alone, in its fifth step."""
    step = Trainer._step

    def ended(self: Trainer, batches: Any) -> None:
        step(self, batches)
        if self.step == 5 and rank == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    Trainer._step = ended  # type: ignore[method-assign]
    run = pretrain(recipe(folder, "signal", steps=100_000, checkpoint_every=None))
    (folder / f"signal-{rank}").write_text(str(run.stopped))


def next_stage(folder: Path, rank: int) -> None:
    """The first process takes its time to store the last checkpoint; both read it next."""
    save = checkpoint.save

    def late(*given: Any, **named: Any) -> Any:
        time.sleep(1.5)
        return save(*given, **named)

    checkpoint.save = late
    try:
        run = pretrain(recipe(folder, "first", steps=2, checkpoint_every=None))
    finally:
        checkpoint.save = save
    (folder / f"next-{rank}").write_text(checkpoint.last(run.folder).name)


STAGES: tuple[Callable[[Path, int], None], ...] = (resume_stage, mgda_stage, nan_stage, next_stage, signal_stage)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the two processes left."""
    folder = tmp_path_factory.mktemp("processes")
    with_toys(__file__, folder, seconds=180)
    return folder


def only_run(folder: Path) -> Run:
    (found,) = folder.iterdir()
    return Run.open(found)


def test_a_resumed_run_of_two_processes_equals_the_uninterrupted_one(folder: Path) -> None:
    assert (folder / "resume_stage").exists(), (folder / "words").read_text()
    whole, resumed = only_run(folder / "whole"), only_run(folder / "cut")
    told = [
        {
            (e.step, key): value
            for e in run.metrics()
            for key, value in e.metrics.items()
            if key.removeprefix("train/") not in CLOCKS
        }
        for run in (whole, resumed)
    ]
    assert told[0] == told[1]
    one, two = (checkpoint.read_weights(run.checkpoint) for run in (whole, resumed))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_both_processes_weigh_and_step_alike(folder: Path) -> None:
    assert (folder / "mgda_stage").exists(), (folder / "words").read_text()
    one, two = (json.loads((folder / f"mgda-{rank}").read_text()) for rank in (0, 1))
    assert one == two
    assert len(one) == 4
    for weight, other, *gradients in one:
        assert abs(weight + other - 1) < 1e-5
        assert any(gradient != 0 for gradient in gradients)


def test_a_nan_of_one_process_ends_both_and_nothing_is_saved(folder: Path) -> None:
    for rank in (0, 1):
        assert (folder / f"nan-{rank}").exists(), (folder / "words").read_text()
        assert "the loss is nan at step 4" in (folder / f"nan-{rank}").read_text()
    run = only_run(folder / "nan")
    assert checkpoint.checkpoints(run.folder / "checkpoints") == []
    assert json.loads((run.folder / "run.json").read_text())["status"] == "FAILED"


def test_all_return_when_the_first_has_stored_everything(folder: Path) -> None:
    for rank in (0, 1):
        assert (folder / f"next-{rank}").exists(), (folder / "words").read_text()
        assert (folder / f"next-{rank}").read_text() == "step-00000002"


def test_a_signal_to_one_process_ends_both_with_a_checkpoint(folder: Path) -> None:
    for rank in (0, 1):
        assert (folder / f"signal-{rank}").exists(), (folder / "words").read_text()
        assert (folder / f"signal-{rank}").read_text() == str(signal.SIGTERM)
    run = only_run(folder / "signal")
    assert json.loads((run.folder / "run.json").read_text())["status"] == "KILLED"
    assert 5 <= checkpoint.read_manifest(run.checkpoint)["step"] < 100_000


if __name__ == "__main__":
    torch.set_num_threads(1)
    place, rank = Path(sys.argv[1]), int(os.environ.get("LOCAL_RANK", "0"))
    for stage in STAGES:
        stage(place, rank)
        (place / stage.__name__).touch()
