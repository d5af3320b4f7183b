"""A trained encoder works where it is told to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from manyviews.cli.main import run
from manyviews.engine.device import choose_device
from manyviews.engine.judge import evaluate_run
from manyviews.engine.load import load_trained
from manyviews.engine.parts import build_source
from manyviews.engine.pretrain import pretrain
from manyviews.errors import UserError
from manyviews.evaluate.embed import device_of, embed
from manyviews.recipe.model import Recipe
from manyviews.testing.kit import DEVICES

Make = Callable[..., Recipe]


@pytest.fixture
def trained(toy_recipe: Make) -> Path:
    return pretrain(toy_recipe(train__steps=2, train__checkpoint_every=None, train__device="cpu")).folder


@pytest.mark.parametrize(("there", "chosen"), [({"cuda"}, "cuda"), ({"mps"}, "mps"), (set(), "cpu"), ({"cuda", "mps"}, "cuda")])
def test_auto_is_an_accelerator_where_there_is_one(there: set[str], chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in there)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in there)
    assert choose_device("auto").type == chosen
    assert choose_device("cpu").type == "cpu"
    missing = {"cuda", "mps"} - there
    for name in missing:
        with pytest.raises(UserError, match=f"device: there is no {name} device here, only .*cpu; `auto` takes what there is"):
            choose_device(name)
    with pytest.raises(UserError, match="device: 'gpu' is none; give one of auto, cpu, cuda, mps"):
        choose_device("gpu")


@pytest.mark.parametrize("device", DEVICES)
def test_the_encoder_and_the_untrained_one_are_there_and_give_the_same(device: str, trained: Path) -> None:
    on_cpu, there = load_trained(trained, device="cpu"), load_trained(trained, device=device)  # type: ignore[arg-type]
    assert device_of(there.encoder).type == device_of(there.untrained()).type == device
    source = build_source(on_cpu.recipe, on_cpu.spec)
    index = np.arange(len(source))
    for one, two in ((on_cpu.encoder, there.encoder), (on_cpu.untrained(), there.untrained())):
        np.testing.assert_allclose(embed(one, source, index), embed(two, source, index), rtol=1e-4, atol=1e-5)
    assert evaluate_run(trained, tasks=["effective_rank"], device=device).rows  # type: ignore[arg-type]


@pytest.mark.parametrize("command", ["embed", "evaluate"])
def test_commands_hand_the_device_on(
    command: str, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    words = {"embed": ["embed", str(trained), "x", "-o", str(tmp_path / "x.npy")], "evaluate": ["evaluate", str(trained)]}
    assert run([*words[command], "--device", "cuda"]) == 2
    assert capsys.readouterr().err == "Error: device: there is no cuda device here, only cpu; `auto` takes what there is\n"
    assert run([*words[command], "--device", "tpu"]) == 2
    assert "is not one of 'auto', 'cpu', 'cuda', 'mps'" in capsys.readouterr().err
