"""A checkpoint is whole or not there, says what is wrong with it, and executes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from manyviews.engine import checkpoint
from manyviews.engine.load import load_trained
from manyviews.engine.pretrain import pretrain
from manyviews.errors import CheckpointError, UserError
from manyviews.recipe.model import Recipe

Make = Callable[..., Recipe]


def save(folder: Path, step: int = 1, keep: int = 2, **trainer: Any) -> Path:
    return checkpoint.save(
        folder, weights={"w": torch.ones(3)}, trainer=trainer, texts={"a.txt": "a"}, manifest={"step": step}, keep=keep
    )


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    saved = save(tmp_path, step=7, state={"x": torch.arange(3), "n": 4})
    assert saved.name == "step-00000007"
    assert checkpoint.read_manifest(saved)["step"] == 7
    assert torch.equal(checkpoint.read_weights(saved)["w"], torch.ones(3))
    assert checkpoint.read_trainer(saved)["state"]["n"] == 4


def test_the_newest_are_kept_and_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    for step in (1, 2, 10, 3, 10):
        save(tmp_path, step=step)
    assert [path.name for path in checkpoint.checkpoints(tmp_path)] == ["step-00000003", "step-00000010"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_disk_that_is_full_leaves_the_last_checkpoint_and_nothing_half_written(tmp_path: Path) -> None:
    save(tmp_path, step=1)
    script = f"""
import resource, signal, torch
from pathlib import Path
from manyviews.engine import checkpoint
from manyviews.errors import CheckpointError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for weights, trainer in (({{"w": torch.ones(5000)}}, {{}}), ({{"w": torch.ones(3)}}, {{"s": torch.ones(5000)}})):
    try:
        checkpoint.save(Path({str(tmp_path)!r}), weights=weights, trainer=trainer, texts={{}}, manifest={{"step": 2}}, keep=2)
    except CheckpointError as error:
        print(error)
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told.count("the checkpoint could not be written") == 2
    assert told.count("step-00000002") == 2
    assert "Free some space" in told
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (
            lambda f: (f / "weights.safetensors").write_bytes(b"x" * 10),
            r"weights\.safetensors: the content is not what was saved",
        ),
        (lambda f: (f / "trainer.pt").unlink(), r"trainer\.pt: the file is missing"),
        (lambda f: (f / "manifest.json").write_text("{"), r"manifest\.json: not a checkpoint's manifest"),
        (lambda f: (f / "manifest.json").write_text('{"files": {}, "format": 99}'), "later version of manyviews"),
    ],
    ids=["changed", "missing", "no-json", "future"],
)
def test_a_damaged_checkpoint_says_which_file(tmp_path: Path, harm: Callable[[Path], Any], message: str) -> None:
    saved = save(tmp_path)
    harm(saved)
    with pytest.raises(CheckpointError, match=message):
        checkpoint.read_manifest(saved)


def test_code_in_a_trainer_state_is_refused_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"trap": Trap()}, tmp_path / checkpoint.TRAINER)
    with pytest.raises(CheckpointError, match=r"trainer\.pt: cannot be read"):
        checkpoint.read_trainer(tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_a_run_without_checkpoint_and_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        checkpoint.last(tmp_path)
    with pytest.raises(UserError, match="not a run folder"):
        pretrain(resume=tmp_path)


def test_trained_and_untrained_encoder_come_back(toy_recipe: Make) -> None:
    run = pretrain(toy_recipe(objective={"name": "jepa"}, train__steps=3))
    trained, teacher = load_trained(run.folder), load_trained(run.folder, teacher=True)
    weights = checkpoint.read_weights(run.checkpoint)
    for name, value in trained.encoder.state_dict().items():
        assert torch.equal(value, weights[f"encoder.{name}"])
        assert torch.equal(teacher.encoder.state_dict()[name], weights[f"teacher.0.{name}"])
    before = [p.clone() for p in trained.untrained().parameters()]
    again = list(trained.untrained().parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(before, trained.encoder.parameters(), strict=True))


def test_a_teacher_that_was_never_there(toy_recipe: Make) -> None:
    run = pretrain(toy_recipe(train__steps=1))
    with pytest.raises(CheckpointError, match="this run had no teacher"):
        load_trained(run.folder, teacher=True)


def test_a_checkpoint_of_a_plugin_that_is_not_installed(toy_recipe: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from manyviews.plugins.registry import registry

    run = pretrain(toy_recipe(train__steps=1))
    monkeypatch.setenv("MANYVIEWS_PLUGINS", "tabular")
    registry.cache_clear()
    with pytest.raises(UserError, match=r"domain `toy` cannot be used, manyviews-toy is disabled"):
        load_trained(run.folder)


def test_weights_that_do_not_fit_the_installed_encoder(toy_recipe: Make) -> None:
    run = pretrain(toy_recipe(train__steps=1))
    saved = run.checkpoint
    (saved / "recipe.yaml").write_text((saved / "recipe.yaml").read_text().replace("width: 16", "width: 8", 1))
    manifest = json.loads((saved / "manifest.json").read_text())
    manifest["files"]["recipe.yaml"] = checkpoint.sha256(saved / "recipe.yaml")
    (saved / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match=r"its weights do not fit ToyEncoder as installed: .*size mismatch"):
        load_trained(run.folder)


def test_nothing_is_written_where_the_recipe_or_the_data_do_not_do(toy_recipe: Make, tmp_path: Path) -> None:
    for wrong, message in [
        ({"train__batch_size": 1000}, r"train\.batch_size: 1000 is more than the 48 training samples"),
        ({"train__precision": "16-mixed"}, "16-mixed needs a CUDA device"),
        ({"objective": {"name": "ntxent"}}, "`ntxent` needs two or more views"),
        ({"train__device": "cuda"}, r"train\.device: cuda x 1 cannot be used here"),
    ]:
        if "cuda" in message.lower() and torch.cuda.is_available():
            continue
        with pytest.raises(UserError, match=message):
            pretrain(toy_recipe(**wrong))
    assert not (tmp_path / "runs").exists()


def test_a_loss_that_is_not_finite_ends_the_run_and_is_not_saved(toy_recipe: Make) -> None:
    recipe = toy_recipe(optim={"name": "sgd", "lr": 1e30, "warmup": 0.0})
    with pytest.raises(UserError, match=r"the loss is (nan|inf) at step"):
        pretrain(recipe)
    folder = next(Path(recipe.train.folder).iterdir())
    assert json.loads((folder / "run.json").read_text())["status"] == "FAILED"
    assert checkpoint.checkpoints(folder / "checkpoints") == []


def test_drafts_of_killed_writers_are_swept_at_the_next_start(toy_recipe: Make) -> None:
    run = pretrain(toy_recipe(train__steps=4))
    draft = run.folder / "checkpoints" / ".step-00000008.4242"
    draft.mkdir()
    (draft / "weights.safetensors").write_bytes(b"half")
    pretrain(resume=run.folder)
    assert [path.name for path in (run.folder / "checkpoints").iterdir()] == ["step-00000004"]


def test_the_folder_that_holds_a_checkpoint_is_flushed_after_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        flushed.append((os.fstat(descriptor).st_ino, (tmp_path / "step-00000001").exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    save(tmp_path)
    assert flushed[-1] == (tmp_path.stat().st_ino, True)


def test_a_manifest_without_its_format_is_none(tmp_path: Path) -> None:
    saved = save(tmp_path)
    (saved / "manifest.json").write_text('{"files": {}}')
    with pytest.raises(CheckpointError, match="not a checkpoint's manifest"):
        checkpoint.read_manifest(saved)


def test_an_interrupt_while_saving_leaves_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path)
    assert list(tmp_path.iterdir()) == []
