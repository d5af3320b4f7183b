"""FSDP2 on two processes gives what data parallelism gives, and its checkpoints are the same. This file is what they run."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor
from torch.testing import assert_close

from manyviews.engine import checkpoint
from manyviews.engine.pretrain import pretrain
from manyviews.engine.run import Run
from manyviews.engine.trainer import Trainer
from manyviews.errors import UserError
from manyviews.recipe.load import load_recipe
from manyviews.recipe.model import Recipe
from manyviews.testing.apart import with_toys
from manyviews.testing.fixtures import TOY

OPTIMIZERS = ("adamw", "sgd", "lars")
STEPS, HALF = 6, 3
MOSTLY = 0.6
"""Of a model of this size a process holds half, and a little more where a tensor cannot be cut in two."""


def recipe(folder: Path, optimizer: str, strategy: str, **train: Any) -> Recipe:
    """A teacher, norms with running statistics, dropout, gradients added up and clipped."""
    parts = {
        "encoder": {"name": "transformer", "dropout": 0.2, "depth": 2},
        "views": {"name": "noise"},
        # A bias before a batch norm has no gradient but rounding, which Adam makes steps of, and a teacher's norm then shows.
        "objective": {"name": "byol", "out": 8, "norm": "layer" if optimizer == "adamw" else "batch"},
        "optim": {"name": optimizer, "lr": 1e-2, "clip": 0.5, "weight_decay": 0.1},
        "evaluate": [{"task": "effective_rank", "every": 2}],
    }
    sizes = {"devices": 2, "batch_size": 8, "accumulate": 2, "steps": STEPS, "checkpoint_every": HALF, "keep_checkpoints": 9}
    place = {"device": "cpu", "strategy": strategy, "log_every": 1, "watch_every": 2, "folder": str(folder / "runs")}
    return load_recipe(TOY, {**parts, "train": place | sizes | train})


def whole_stage(folder: Path, rank: int) -> None:
    for optimizer in OPTIMIZERS:
        for strategy in ("ddp", "fsdp"):
            pretrain(recipe(folder, optimizer, strategy), folder=folder / f"{strategy}-{optimizer}")


def share_stage(folder: Path, rank: int) -> None:
    """How much of parameters, teacher and optimiser state a process holds between steps."""
    settle = Trainer._settle

    def noted(self: Trainer) -> None:
        moments = [moment for part in self.wrapped.optimizer.state.values() for moment in part.values() if moment.ndim]
        held = [*self.plain.parameters(), *moments]
        own = sum(tensor.to_local().numel() if isinstance(tensor, DTensor) else tensor.numel() for tensor in held)
        (folder / f"share-{rank}").write_text(str(own / sum(tensor.numel() for tensor in held)))
        settle(self)

    Trainer._settle = noted  # type: ignore[method-assign]
    pretrain(recipe(folder, "adamw", "fsdp"), folder=folder / "shared")
    Trainer._settle = settle  # type: ignore[method-assign]


def halves_stage(folder: Path, rank: int) -> None:
    """Half of a run of the one, and then the other."""
    for before, after in (("fsdp", "fsdp"), ("fsdp", "ddp"), ("ddp", "fsdp")):
        half = folder / f"{before}-then-{after}"
        if rank == 0:
            half_of(folder / f"{before}-adamw", half)
        dist.barrier()
        pretrain(resume=half, train={"strategy": after})


STAGES: tuple[Callable[[Path, int], None], ...] = (whole_stage, share_stage, halves_stage)


def half_of(run: Path, to: Path) -> Path:
    shutil.copytree(run, to)
    shutil.rmtree(to / "checkpoints" / f"step-{STEPS:08d}")
    (to / "journal.jsonl").unlink()
    return to


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the two processes left."""
    folder = tmp_path_factory.mktemp("sharded")
    with_toys(__file__, folder, seconds=240)
    return folder


def losses(run: Path) -> torch.Tensor:
    return torch.tensor([entry.metrics["train/loss"] for entry in Run.open(run).metrics() if "train/loss" in entry.metrics])


def weights(run: Path) -> dict[str, torch.Tensor]:
    return checkpoint.read_weights(checkpoint.last(run))


def same(run: Path, other: Path, steps: int = STEPS) -> None:
    assert len(losses(run)) == steps
    assert_close(losses(run)[-steps:], losses(other)[-steps:], rtol=1e-6, atol=1e-6)
    one, two = weights(run), weights(other)
    assert one.keys() == two.keys()
    for name in one:
        assert_close(one[name], two[name], rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_shared_out_or_not_the_losses_and_the_checkpoint_are_the_same(folder: Path, optimizer: str) -> None:
    assert (folder / "whole_stage").exists(), (folder / "words").read_text()
    same(folder / f"fsdp-{optimizer}", folder / f"ddp-{optimizer}")
    one, two = (checkpoint.read_trainer(checkpoint.last(folder / f"{way}-{optimizer}")) for way in ("fsdp", "ddp"))
    assert_close(one["optimizer"], two["optimizer"], rtol=1e-4, atol=1e-5)
    looks = [
        [(entry.step, entry.metrics) for entry in Run.open(folder / f"{way}-{optimizer}").metrics() if ranked(entry.metrics)]
        for way in ("fsdp", "ddp")
    ]
    assert len(looks[0]) > STEPS // 2
    assert_close(looks[0], looks[1], rtol=1e-3, atol=1e-4)


def ranked(metrics: Any) -> bool:
    return any("effective_rank" in name for name in metrics)


@pytest.mark.slow
def test_each_process_holds_half(folder: Path) -> None:
    assert (folder / "share_stage").exists(), (folder / "words").read_text()
    assert [float((folder / f"share-{rank}").read_text()) < MOSTLY for rank in (0, 1)] == [True, True]


@pytest.mark.slow
@pytest.mark.parametrize("half", ["fsdp-then-fsdp", "fsdp-then-ddp", "ddp-then-fsdp"])
def test_a_run_goes_on_shared_out_or_not(folder: Path, half: str) -> None:
    assert (folder / "halves_stage").exists(), (folder / "words").read_text()
    same(folder / half, folder / "ddp-adamw", STEPS - HALF)


@pytest.mark.slow
def test_a_checkpoint_of_shares_goes_on_on_one_process(toy_domain: None, folder: Path) -> None:
    assert (folder / "whole_stage").exists(), (folder / "words").read_text()
    for way in ("fsdp", "ddp"):
        pretrain(resume=half_of(folder / f"{way}-adamw", folder / f"{way}-alone"), train={"devices": 1})
    same(folder / "fsdp-alone", folder / "ddp-alone", STEPS - HALF)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train__compile": True}, r"train\.strategy: fsdp does not go with train\.compile"),
        ({"train__precision": "bf16-mixed", "combine": "mgda"}, r"train\.strategy: fsdp does not go with combine: mgda"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(toy_recipe: Callable[..., Recipe], changes: dict[str, Any], words: str) -> None:
    if "combine" in changes:
        terms = [{"views": {"name": "noise"}, "objective": {"name": name}} for name in ("vicreg", "byol")]
        changes = {**changes, "views": None, "objective": None, "terms": terms}
    with pytest.raises(UserError, match=words):
        pretrain(toy_recipe(train__devices=2, train__device="cpu", train__strategy="fsdp", **changes))


if __name__ == "__main__":
    torch.set_num_threads(1)
    place, rank = Path(sys.argv[1]), int(os.environ.get("LOCAL_RANK", "0"))
    for stage in STAGES:
        stage(place, rank)
        dist.barrier()
        (place / stage.__name__).touch()
