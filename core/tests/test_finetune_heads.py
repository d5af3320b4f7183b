"""Heads that read more than a unit's vector: a weighted sum of layers, prototypes among tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from manyviews.downstream import Net
from manyviews.encoding import Encoding
from manyviews.engine.pretrain import pretrain
from manyviews.errors import UserError
from manyviews.finetuning.layers import LayerSum, WeightedLayers
from manyviews.finetuning.prototypical import PrototypeHead, Prototypical, asymmetric
from manyviews.finetuning.study import finetune
from manyviews.lengths import Lengths
from manyviews.recipe.model import Recipe
from manyviews.testing.toy import ToyEncoder, ToySpec


def test_layers_are_added_up_by_softmax_weights() -> None:
    torch.manual_seed(0)
    head = LayerSum(4, 3, 0.0).double()
    head.weights.data[:3] = torch.tensor([0.5, -1.0, 2.0])
    layers = torch.randn(3, 5, 4, dtype=torch.float64)
    shares = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64).softmax(0)
    expected = head.head[1](sum(share * layer for share, layer in zip(shares, layers, strict=True)))
    assert_close(head(layers), expected)


def test_clips_are_means_of_normalised_tokens() -> None:
    task, lengths = WeightedLayers(), Lengths.of([3, 2])
    net = Net(ToyEncoder(ToySpec(channels=4)), LayerSum(4, 2, 0.0), "sample")
    layers = (torch.randn(5, 4), torch.randn(5, 4))
    encoding = Encoding(layers[1], None, lengths, lengths.mean(layers[1]), layers)
    even = [F.layer_norm(layer, (4,)) for layer in layers]
    means = [torch.stack([layer[:3].mean(0), layer[3:].mean(0)]) for layer in even]
    assert_close(task.said(net, encoding), net.head.head[1]((means[0] + means[1]) / 2))


def test_the_best_token_of_a_sample_speaks_for_a_class() -> None:
    torch.manual_seed(0)
    head = PrototypeHead(4, 3, 2).double().requires_grad_(False)
    head.weights.data[0, 0] = -5.0  # counts as 0
    tokens, sizes = torch.randn(7, 4, dtype=torch.float64), [4, 3]
    made, spots = head(tokens, Lengths.of(sizes)), head.prototypes
    for sample, part in enumerate(tokens.split(sizes)):
        for c in range(3):
            value = -2.0
            for j in range(2):
                best = max(max(float(F.cosine_similarity(token, spots[c, j], dim=0)), 0.0) for token in part)
                value += best * max(float(head.weights[c, j]), 0.0)
            assert_close(float(made[sample, c]), value)


def test_orthogonal_prototypes_cost_nothing() -> None:
    head = PrototypeHead(4, 2, 3)
    head.prototypes.data.copy_(torch.eye(4)[:3].expand(2, 3, 4) * 7)
    assert_close(head.crossness(), torch.tensor(0.0))
    head.prototypes.data.copy_(torch.ones(2, 3, 4))
    assert_close(head.crossness(), torch.tensor(6 / 9))


def test_the_asymmetric_loss_longhand() -> None:
    logits = torch.tensor([[1.0, -3.0, 0.2], [0.0, 2.0, -1.0]], dtype=torch.float64)
    p = logits.sigmoid()
    expected = -(1 - p[0, 0]) * p[0, 0].log()
    for c in (1, 2):
        shifted = (p[0, c] - 0.05).clamp(min=0)
        expected = expected - shifted**4 * (1 - shifted).log()
    made = asymmetric(logits, torch.tensor([0, -1]), 4.0, 1.0, 0.05)
    assert_close(made[0], expected)
    assert made[1] == 0, "no label, no loss"
    plain = asymmetric(logits, torch.tensor([0, 1]), 0.0, 0.0, 0.0)
    truth = F.one_hot(torch.tensor([0, 1]), 3).double()
    assert_close(plain, F.binary_cross_entropy_with_logits(logits, truth, reduction="none").sum(1))


def test_prototypes_of_tokens_are_refused() -> None:
    with pytest.raises(UserError, match="set `unit: sample`"):
        Prototypical().head(ToyEncoder(ToySpec(channels=4)), None, "token")


@pytest.mark.parametrize("name", ["weighted_layers", "prototypical"])
def test_they_learn_and_come_back(toy_recipe: Callable[..., Recipe], tmp_path: Path, name: str) -> None:
    run = pretrain(toy_recipe(data__noise=0.2, data__samples=48, train__steps=4))
    train = {"steps": 60, "batch_size": 8, "log_every": 20, "device": "cpu", "folder": str(run.folder.parent)}
    study = finetune(
        run.folder, task={"name": name}, method="frozen", track=None, train=train, optim={"lr": 4e-2}, scratch=False
    )
    (result,) = study.results()
    assert result["test"]["accuracy"] > 0.7
