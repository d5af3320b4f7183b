"""What the loop does with batches and with what surrounds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Int, Shaped

from manyviews.engine import checkpoint
from manyviews.engine.pretrain import pretrain
from manyviews.engine.progress import Progress
from manyviews.errors import UserError
from manyviews.lengths import Lengths
from manyviews.nets.transformer import Transformer
from manyviews.recipe.model import Recipe
from manyviews.testing.toy import ToyBatch, ToySource

Make = Callable[..., Recipe]


class One(ToySource):
    """A single sample, and always the same batch of it, as a source that is one graph."""

    def __init__(self) -> None:
        super().__init__(samples=1)
        self.only = super().batch(np.arange(1))

    def batch(self, index: Int[np.ndarray, "samples"]) -> ToyBatch:
        return self.only

    def splits(self) -> Shaped[np.ndarray, "samples"]:
        return np.array(["train"])


@pytest.mark.parametrize(("precision", "kind"), [("32", torch.float32), ("bf16-mixed", torch.bfloat16)])
def test_forward_passes_are_in_the_precision_asked_for(
    toy_recipe: Make, monkeypatch: pytest.MonkeyPatch, precision: str, kind: torch.dtype
) -> None:
    kinds, forward = set(), Transformer.forward

    def noted(self: Transformer, tokens: torch.Tensor, lengths: Lengths, *more: Any) -> torch.Tensor:
        kinds.add(self.blocks[0].attention.qkv(tokens).dtype)
        return forward(self, tokens, lengths, *more)

    monkeypatch.setattr(Transformer, "forward", noted)
    run = pretrain(toy_recipe(train__precision=precision, train__steps=4, train__watch_every=100, optim__clip=1.0))
    assert kind in kinds
    weights = checkpoint.read_weights(run.checkpoint)
    assert {weight.dtype for weight in weights.values() if weight.is_floating_point()} == {torch.float32}


def test_the_progress_bar_is_closed_where_a_run_fails(toy_recipe: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    bars, make = [], Progress.__init__

    def noted(self: Progress, *arguments: Any) -> None:
        make(self, *arguments)
        bars.append(self.bar)
        self.bar.close = lambda: bars.append("closed")

    monkeypatch.setattr(Progress, "__init__", noted)
    with pytest.raises(UserError, match="the loss is"):
        pretrain(toy_recipe(optim={"name": "sgd", "lr": 1e30, "warmup": 0.0}))
    assert bars[1:] == ["closed"]


def test_a_source_that_is_one_batch_goes_to_the_device_once(toy_recipe: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    moved, to = [], ToyBatch.to

    def counted(self: ToyBatch, device: torch.device, non_blocking: bool = False) -> Any:
        moved.append(self)
        return to(self, device, non_blocking)

    monkeypatch.setattr(ToyBatch, "to", counted)
    pretrain(toy_recipe(train__batch_size=1, train__accumulate=2), source=One())
    assert len(moved) == 1
