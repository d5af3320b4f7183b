"""LoRA, adapters, layer-wise rates, label budgets, label maps: each against what it should be."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from manyviews.downstream import LabelledUnits
from manyviews.errors import UserError
from manyviews.finetuning.adapters import add_adapters, look_for_idle
from manyviews.finetuning.budget import draw_labels
from manyviews.finetuning.dense import confusion, cross_entropy, scores
from manyviews.finetuning.learner import layer_rates
from manyviews.finetuning.lora import add_lora, fold_lora
from manyviews.objectives.soft_dice import soft_dice
from manyviews.recipe.finetune import Adapters, LoRA
from manyviews.testing.toy import ToyEncoder, ToySource
from manyviews.view import View

SOURCE = ToySource(samples=6)
BATCH = SOURCE.batch(np.arange(6))


def encoder() -> ToyEncoder:
    torch.manual_seed(0)
    return ToyEncoder(SOURCE.spec, depth=2)


def pooled(net: ToyEncoder) -> torch.Tensor:
    return net(View(BATCH, net.layout(BATCH))).pooled


def disturb(net: nn.Module) -> None:
    """What learns, moved somewhere."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))


def test_lora_begins_as_the_encoder_and_equals_its_definition() -> None:
    net = encoder()
    before, weight = pooled(net), net.inwards.weight.detach().clone()
    add_lora(net, LoRA(rank=3, alpha=6.0))
    assert_close(pooled(net), before)
    assert {name.rpartition(".")[2] for name, p in net.named_parameters() if p.requires_grad} == {"down", "up"}
    disturb(net)
    low = net.inwards.parametrizations.weight[0]  # type: ignore[union-attr, index]
    assert_close(net.inwards.weight, weight + 2.0 * low.up @ low.down)


def test_lora_folds_into_a_plain_encoder_that_says_the_same() -> None:
    net, plain = encoder(), encoder()
    add_lora(net, LoRA(rank=2))
    disturb(net)
    expected = pooled(net)
    fold_lora(net)
    assert_close(pooled(net), expected)
    plain.load_state_dict(net.state_dict())
    assert_close(pooled(plain), expected)


def test_lora_changes_kernels_and_weights_that_are_read_by_hand() -> None:
    class ByHand(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.attention = nn.Conv2d(3, 5, 3), nn.MultiheadAttention(8, 2, batch_first=True)
            self.linear = nn.Linear(5, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x).flatten(2).mT @ self.linear.weight.T  # never calls the layer
            out: torch.Tensor = self.attention(y, y, y, need_weights=False)[0]
            return out

    net, x = ByHand(), torch.randn(2, 3, 6, 6)
    add_lora(net, LoRA(rank=2))
    net(x).square().mean().backward()
    reached = {name for name, p in net.named_parameters() if p.requires_grad and p.grad is not None}
    assert {name.split(".")[0] for name in reached} == {"conv", "attention", "linear"}
    disturb(net)
    expected = net(x)
    fold_lora(net)
    assert_close(net(x), expected)


def test_adapters_begin_as_the_encoder_and_alone_learn() -> None:
    net = encoder()
    before = pooled(net)
    add_adapters(net, Adapters(width=4))
    assert_close(pooled(net), before)
    pooled(net).square().mean().backward()
    learning = {name for name, p in net.named_parameters() if p.requires_grad}
    assert all(".adapter." in name for name in learning)
    assert all(p.grad is not None for name, p in net.named_parameters() if name.endswith("adapter.up.weight"))
    again = encoder()
    add_adapters(again, Adapters(width=4))
    disturb(net)
    again.load_state_dict(net.state_dict())
    assert_close(pooled(again), pooled(net))
    assert not torch.equal(pooled(net), before)


def test_layers_learn_the_slower_the_nearer_they_are_to_the_input() -> None:
    net = encoder()
    rates = layer_rates(net, 0.5)
    blocks = net.transformer.blocks
    assert rates[net.inwards.weight] == rates[net.mask_token] == 0.5**3
    assert {rates[p] for p in blocks[0].parameters()} == {0.5**2}
    assert {rates[p] for p in blocks[1].parameters()} == {0.5}
    assert {rates[p] for p in net.transformer.last.parameters()} == {0.5}


def units(groups: bool = False) -> LabelledUnits:
    strata = np.array([0] * 60 + [1] * 30 + [2] * 10)
    splits = np.array(["train"] * 100)
    splits[::10] = ""
    owners = np.repeat(np.arange(20), 5)
    return LabelledUnits(np.arange(100), splits, strata, owners if groups else None)


def test_budgets_are_stratified_nested_and_repeat() -> None:
    small, large = draw_labels(units(), 9, 0), draw_labels(units(), 0.5, 0)
    assert len(small) == 9
    assert len(large) == 45
    assert set(small) < set(large) < set(draw_labels(units(), 1.0, 0))
    assert np.bincount(units().strata[small]).tolist() == [5, 3, 1]  # type: ignore[index]
    assert set(units().strata[draw_labels(units(), 3, 5)]) == {0, 1, 2}  # type: ignore[index]
    assert np.array_equal(small, draw_labels(units(), 9, 0))
    assert not np.array_equal(small, draw_labels(units(), 9, 1))
    assert "" not in units().splits[large]


def test_budgets_of_groups_count_and_keep_whole_groups() -> None:
    chosen = draw_labels(units(groups=True), 4, 0)
    owners = np.repeat(np.arange(20), 5)
    assert len(set(owners[chosen])) == 4
    whole = np.flatnonzero(np.isin(owners, owners[chosen]) & (units().splits == "train"))
    assert np.array_equal(chosen, whole)
    with pytest.raises(
        UserError,
        match=r"21 asked for, and there are 20 groups .*; where the data have groups \(`data\.group`\), groups are counted",
    ):
        draw_labels(units(groups=True), 21, 0)


def longhand_dice(p: torch.Tensor, y: torch.Tensor, c: int) -> float:
    both = total = 0.0
    for place in range(y.numel()):
        truth = int(y.flatten()[place])
        if truth < 0:
            continue
        said = float(p.movedim(1, -1).reshape(-1, p.shape[1])[place, c])
        both += said * (truth == c)
        total += said + (truth == c)
    return (2 * both + 1e-5) / (total + 1e-5)


def test_soft_dice_and_cross_entropy_equal_the_longhand_sums_over_labelled_places() -> None:
    logits = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    truth = torch.randint(-1, 3, (2, 4, 5))
    p = logits.softmax(1)
    assert_close(
        soft_dice(p, truth, truth >= 0), torch.tensor([longhand_dice(p, truth, c) for c in range(3)], dtype=torch.float64)
    )
    flat, y = p.movedim(1, -1).reshape(-1, 3), truth.flatten()
    expected = -torch.stack([flat[i, y[i]].log() for i in range(len(y)) if y[i] >= 0]).mean()
    assert_close(cross_entropy(logits, truth), expected)
    assert float(cross_entropy(logits, torch.full_like(truth, -1))) == 0.0


def test_dice_and_iou_are_of_each_sample_and_class() -> None:
    truth = torch.tensor([[[0, 1, 1, -1]], [[0, 0, 0, 2]]])
    said = torch.tensor([[[0, 1, 0, 2]], [[0, 0, 0, 2]]])
    counts = np.stack([confusion(s, t, 3).numpy() for s, t in zip(said, truth, strict=True)])
    found = scores(counts, ("nothing", "one", "two"), background=False)
    assert found["dice/one"] == pytest.approx(2 / 3)
    assert found["iou/one"] == pytest.approx(1 / 2)
    assert found["dice/two"] == 1.0
    assert found["dice"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["accuracy"] == pytest.approx(6 / 7)


class ByHand(nn.Module):
    """Reads a layer's weight and never calls it; the other one it calls."""

    width = 4

    def __init__(self, both: bool) -> None:
        super().__init__()
        self.read, self.both = nn.Linear(4, 4), both
        self.called = nn.Linear(4, 4) if both else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.called(x @ self.read.weight)
        return y


def test_adapters_behind_layers_that_are_read_by_hand_do_not_go_unsaid(capsys: pytest.CaptureFixture[str]) -> None:
    for both in (False, True):
        net = ByHand(both)
        add_adapters(net, Adapters(width=2))  # type: ignore[arg-type]
        net(torch.ones(1, 4))
        if both:
            look_for_idle(net)
            assert capsys.readouterr().err == "1 of 2 adapters change nothing, since their layers are read by hand: read\n"
        else:
            with pytest.raises(UserError, match=r"method: adapters change nothing here: ByHand reads the weights .* \(read"):
                look_for_idle(net)


def test_a_copy_of_a_net_with_adapters_is_its_own() -> None:
    net = encoder()
    add_adapters(net, Adapters(width=4))
    other = copy.deepcopy(net)
    disturb(other)
    assert not torch.equal(pooled(net), pooled(other))
