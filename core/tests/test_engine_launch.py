"""Processes on one machine and on two; this file, run as a script, is what each of them runs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from manyviews.engine.pretrain import pretrain
from manyviews.engine.run import Run
from manyviews.errors import DataError, UserError
from manyviews.recipe.load import load_recipe
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
