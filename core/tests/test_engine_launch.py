"""Processes on one machine and on two; this file, run as a script, is what each of them runs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from manyviews.engine import checkpoint
from manyviews.engine.pretrain import pretrain
from manyviews.engine.run import Run
from manyviews.errors import DataError, UserError
from manyviews.recipe.load import load_recipe, to_yaml
from manyviews.recipe.model import Recipe
from manyviews.testing.fixtures import TOY
from manyviews.testing.toy import ToySource


def start(folder: Path, way: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, way, str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def test_what_is_wrong_with_the_data_is_said_once_however_many_processes_there_are(toy_domain: None, tmp_path: Path) -> None:
    process = start(tmp_path, "broken")
    words, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert words.count("DataError: data: series 3 is cut short") == 1, words
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_two_machines_train_one_run(toy_domain: None, tmp_path: Path) -> None:
    """Told of one another as torchrun does it: one process on each, both on this one machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"TORCHELASTIC_RUN_ID": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    processes = [start(tmp_path, "nodes", **common, RANK=str(node), GROUP_RANK=str(node)) for node in (0, 1)]
    words = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n\n".join(words)
    (folder,) = (tmp_path / "runs").iterdir()
    run = Run.open(folder)
    assert run.recipe.train.nodes == 2
    assert run.checkpoint.name == "step-00000012"
    one, two = (json.loads((tmp_path / f"seen-{rank}").read_text()) for rank in (0, 1))
    assert len(one) == len(two) == 12
    for left, right in zip(one, two, strict=True):  # each machine its own half of each batch
        assert len({*left, *right}) == 16


@pytest.mark.slow
def test_a_slurm_job_that_is_requeued_goes_on_where_it_was(toy_domain: None, tmp_path: Path) -> None:
    """Two tasks as srun starts them; SIGTERM to both, as before time is up; the same command once more."""
    recipe = tmp_path / "toy.yaml"
    train = TOY["train"] | {"steps": 1500, "checkpoint_every": 100, "devices": 2, "device": "cpu", "batch_size": 4}  # type: ignore[operator]
    recipe.write_text(to_yaml(load_recipe({**TOY, "train": train})))
    folder = tmp_path / "runs" / "4711"
    tasks = slurm(recipe, folder)
    wait_for(lambda: (folder / "checkpoints" / "step-00000100").is_dir(), tasks)
    for task in tasks:
        task.terminate()
    words = [task.communicate(timeout=60)[0] for task in tasks]
    assert tasks[0].returncode == 128 + signal.SIGTERM, words[0]
    assert "go on with: manyviews pretrain --resume" in words[0]
    kept = checkpoint.read_manifest(checkpoint.last(folder))["step"]
    assert 100 <= kept < 1500
    again = slurm(recipe, folder, SLURM_RESTART_COUNT="1")
    words = [task.communicate(timeout=120)[0] for task in again]
    assert [task.returncode for task in again] == [0, 0], "\n\n".join(words)
    assert json.loads((folder / "run.json").read_text())["status"] == "FINISHED"
    steps = [entry.step for entry in Run.open(folder).metrics() if "train/loss" in entry.metrics]
    assert steps == list(range(2, 1501, 2))
    assert [path.name for path in folder.parent.iterdir()] == ["4711"]


def slurm(recipe: Path, folder: Path, **more: str) -> list[subprocess.Popen[str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    common = {"SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2"}
    common |= {"SLURM_NODELIST": "localhost", "SLURM_NNODES": "1", "SLURM_NODEID": "0", "MASTER_PORT": port, **more}
    command = [
        sys.executable,
        "-c",
        "from manyviews.cli.main import main; main()",
        "pretrain",
        str(recipe),
        "--run",
        str(folder),
    ]
    return [
        subprocess.Popen(
            command,
            env=os.environ | {"OMP_NUM_THREADS": "1", **common, "SLURM_PROCID": str(task), "SLURM_LOCALID": str(task)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for task in (0, 1)
    ]


def wait_for(what: Callable[[], bool], tasks: list[subprocess.Popen[str]]) -> None:
    deadline = time.monotonic() + 90
    while not what():
        assert all(task.poll() is None for task in tasks), [task.communicate()[0] for task in tasks]
        assert time.monotonic() < deadline, "it did not come within 90 seconds"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("environment", "starter"),
    [
        ({"TORCHELASTIC_RUN_ID": "0", "WORLD_SIZE": "4"}, "torchrun"),
        ({"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "train", "SLURM_NTASKS_PER_NODE": "4"}, "Slurm"),
    ],
)
def test_more_processes_than_the_recipe_has_are_refused(
    toy_recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], starter: str
) -> None:
    """Each would train a run of its own."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=f"train.devices: {starter} says that 4 processes run this, and the recipe that"):
        pretrain(toy_recipe())


def test_a_machine_that_nobody_told_of_the_others_says_how_they_are_started(
    toy_recipe: Callable[..., Recipe], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(UserError, match=r"train\.nodes: 2 machines are started by Slurm .* torchrun"):
        pretrain(toy_recipe(train__nodes=2))


def broken(folder: Path) -> None:
    def cut_short(self: ToySource, index: Any) -> Any:
        raise DataError("series 3 is cut short")

    ToySource.batch = cut_short  # type: ignore[method-assign]
    pretrain(load_recipe(TOY, {"train": {"device": "cpu", "devices": 2, "folder": str(folder / "runs")}}))


def nodes(folder: Path) -> None:
    seen = []
    batch = ToySource.batch

    def noted(self: ToySource, index: Any) -> Any:
        seen.append(index.tolist())
        return batch(self, index)

    ToySource.batch = noted  # type: ignore[method-assign]
    pretrain(load_recipe(TOY, {"train": {"device": "cpu", "nodes": 2, "batch_size": 8, "folder": str(folder / "runs")}}))
    (folder / f"seen-{os.environ['RANK']}").write_text(json.dumps(seen[1:]))  # the first is the rehearsal's


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"broken": broken, "nodes": nodes}[sys.argv[1]](Path(sys.argv[2]))
