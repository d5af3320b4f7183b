"""`torchrun` on two processes gives what one gives: the same losses, killed and gone on with on one or on two.

A step's samples, the weighing of what differs between processes, the optimiser and the teacher are the same; what views draw is
a function of the process, so here the tokens withheld are set by their place. This file is what each process runs, too.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from manyviews.engine import checkpoint
from manyviews.engine import pretrain as engine
from manyviews.engine.run import Run
from manyviews.engine.trainer import Trainer
from manyviews.layout import Layout
from manyviews.mask import Mask
from manyviews.plugins.registry import registry
from manyviews.recipe.load import load_recipe, to_yaml
from manyviews.testing.bench import bench_of
from manyviews.testing.recipe_kit import small
from manyviews.track.run_file import RunFile
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator

PLAIN = {"name": "sgd", "lr": 0.05}
RECIPES: dict[str, dict[str, Any]] = {
    # What stands before a batch norm has biases without a gradient but rounding, which Adam makes steps of.
    "graphs/graphmae_graphs": PLAIN,
    "graphs/graphmae_transformer": PLAIN,
    "medical/mae": {},
    "satellite/satmae": {},
    "speech/jepa": {},
    "tabular/t_jepa": {},
}
"""Recipe -> what is said of its optimiser."""
STEPS, KILLED = 6, 4
TOGETHER = 8
"""Samples of a step."""


class Still(ViewGenerator):
    """Withholds each sample's second, fifth, … token, and asks for them."""

    gives = frozenset({Trait.HIDDEN_TOKENS, Trait.ASKED_TOKENS})

    def forward(self, batch: Any, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        hidden = Mask.counted((layout.lengths.places() % 3 == 1)[None], layout.lengths)
        return (View(batch, layout, hidden=hidden, asked=hidden),)


def hold_still() -> None:
    """Views draw nothing, and nothing is dropped out."""
    build_terms, model_of = engine.build_terms, engine.model_of

    def still_model(*given: Any) -> Any:
        model = model_of(*given)
        for module in model.modules():
            for name in ("p", "dropout", "attention_dropout"):
                if isinstance(vars(module).get(name), float):
                    setattr(module, name, 0.0)
        return model

    engine.build_terms = lambda *given: [replace(part, views=Still()) for part in build_terms(*given)]
    engine.model_of = still_model


@pytest.fixture(autouse=True)
def held_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "build_terms", engine.build_terms)
    monkeypatch.setattr(engine, "model_of", engine.model_of)
    hold_still()


def torchrun(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", __file__]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    process = subprocess.Popen(
        [*command, *map(str, arguments)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        words, _ = process.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        words, _ = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, words)


def write(recipe: str, folder: Path, devices: int, bench_folder: Path, **train: Any) -> Path:
    plugin = next(plugin for plugin in registry().plugins if plugin.name == recipe.partition("/")[0])
    given = {"log_every": 1, "watch_every": 1000, "checkpoint_every": 2, "keep_checkpoints": 9, "steps": STEPS, **train}
    made = small(recipe, bench_of(plugin.entry_point, bench_folder), folder / "runs", evaluate=False, **given)
    place = {"devices": devices, "batch_size": TOGETHER // devices, "batch_total": None, "threads": 1}
    optim = made.optim.model_copy(update=RECIPES[recipe])
    whole = {"train": made.train.model_copy(update=place), "track": None, "optim": optim}
    path = folder / f"on_{devices}.yaml"
    path.write_text(to_yaml(made.model_copy(update=whole)))
    return path


def losses(run: Run) -> torch.Tensor:
    told = {entry.step: entry.metrics["train/loss"] for entry in run.metrics() if "train/loss" in entry.metrics}
    assert list(told) == list(range(1, STEPS + 1))
    return torch.tensor(list(told.values()), dtype=torch.float64)


def same(run: Run, other: Run) -> None:
    """Losses and weights, but for the order in which float32 is added up."""
    assert_close(losses(run), losses(other), rtol=1e-4, atol=1e-6)
    one, two = (checkpoint.read_weights(place.checkpoint) for place in (run, other))
    assert one.keys() == two.keys()
    for name in one:
        assert_close(one[name], two[name], rtol=1e-2, atol=1e-4, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_two_processes_give_what_one_gives_and_go_on_after_kill_minus_nine(
    recipe: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    benches = tmp_path_factory.mktemp("data")
    one = engine.pretrain(write(recipe, tmp_path, 1, benches), folder=tmp_path / "one")
    on_two = write(recipe, tmp_path, 2, benches)
    killed = torchrun("begin", on_two, tmp_path)
    assert killed.returncode != 0, killed.stdout
    assert (tmp_path / "two").is_dir(), killed.stdout
    same(Run.open(tmp_path / "two"), one)
    cut = tmp_path / "cut"
    assert checkpoint.last(cut).name == f"step-{KILLED - 2:08d}", killed.stdout
    shutil.copytree(cut, tmp_path / "alone")
    ended = torchrun("go_on", on_two, tmp_path)
    assert ended.returncode == 0, ended.stdout
    same(Run.open(cut), one)
    same(engine.pretrain(resume=tmp_path / "alone", train={"devices": 1}), one)
    assert RunFile.load(cut).state.status == "FINISHED"


@pytest.mark.slow
def test_sigterm_to_torchrun_ends_the_run_with_a_checkpoint(tmp_path: Path) -> None:
    """As a cluster takes a machine away: torchrun hands the signal on."""
    on_two = write("tabular/t_jepa", tmp_path, 2, tmp_path / "data", steps=100_000, log_every=1000)
    ended = torchrun("terminate", on_two, tmp_path)
    assert (tmp_path / "stopped-0").read_text() == (tmp_path / "stopped-1").read_text() == "SIGTERM", ended.stdout
    run = Run.open(tmp_path / "cut")
    assert RunFile.load(run.folder).state.status == "KILLED"
    assert 4 <= checkpoint.read_manifest(run.checkpoint)["step"] < 100_000


def at_step(step: int, act: Any) -> None:
    before = Trainer._step

    def stepping(self: Trainer, batches: Any) -> None:
        if self.step == step - 1:
            act()
        before(self, batches)

    Trainer._step = stepping  # type: ignore[method-assign]


def begin(recipe: Path, folder: Path, rank: int) -> None:
    """A whole run, and one whose second process is killed in its fourth step."""
    engine.pretrain(recipe, folder=folder / "two")
    if rank == 1:
        at_step(KILLED, lambda: os.kill(os.getpid(), signal.SIGKILL))
    engine.pretrain(recipe, folder=folder / "cut")


def go_on(recipe: Path, folder: Path, rank: int) -> None:
    engine.pretrain(recipe, folder=folder / "cut")


def terminate(recipe: Path, folder: Path, rank: int) -> None:
    if rank == 1:
        at_step(4, lambda: os.kill(os.getppid(), signal.SIGTERM))
    run = engine.pretrain(recipe, folder=folder / "cut")
    assert run.stopped is not None
    (folder / f"stopped-{rank}").write_text(run.stopped.name)


if __name__ == "__main__":
    torch.set_num_threads(1)
    hold_still()
    way, path, place = sys.argv[1:]
    assert load_recipe(path).train.devices == 2
    {"begin": begin, "go_on": go_on, "terminate": terminate}[way](Path(path), Path(place), int(os.environ["RANK"]))
