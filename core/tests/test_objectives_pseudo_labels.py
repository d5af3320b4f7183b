"""Pseudo-labels: the margin longhand, the gate between two kinds of losses, labels that are corrected."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.testing import assert_close

from manyviews.lengths import Lengths
from manyviews.objective import Branch
from manyviews.objectives.gate import LossGate, crossing
from manyviews.objectives.pseudo_labels import (
    PseudoLabelled,
    correction_losses,
    label_losses,
    margin_logits,
)
from manyviews.testing.toy import ToyBatch, ToyEncoder, ToySpec
from manyviews.view import View


def test_the_margin_longhand() -> None:
    cosines = torch.tensor([[0.8, -0.2, 0.1], [0.3, 0.99, -0.999]], dtype=torch.float64)
    made = margin_logits(cosines, torch.tensor([0, 2]), 30.0, 0.2)
    assert_close(made[0, 0], torch.tensor(30 * math.cos(math.acos(0.8) + 0.2), dtype=torch.float64))
    assert_close(made[0, 1:], 30 * cosines[0, 1:])
    assert_close(made[1, :2], 30 * cosines[1, :2])
    assert_close(made[1, 2], torch.tensor(30 * (-0.999 - 0.2 * math.sin(0.2)), dtype=torch.float64))
    falling = margin_logits(torch.linspace(-1, 1, 201, dtype=torch.float64)[:, None], torch.zeros(201).long(), 1.0, 0.5)
    assert (falling.diff(dim=0) > 0).all(), "a larger cosine never gives a smaller logit"


def test_without_a_margin_it_is_a_cosine_softmax() -> None:
    cosines = torch.rand(2, 5, 4, dtype=torch.float64) * 2 - 1
    labels = torch.tensor([0, 1, 2, 3, 1])
    expected = torch.stack([F.cross_entropy(10 * view, labels, reduction="none") for view in cosines]).mean(0)
    assert_close(label_losses(cosines, labels, 10.0, 0.0), expected)


@pytest.mark.parametrize(
    ("deviations", "shares"), [((1.0, 1.0), (0.5, 0.5)), ((0.5, 1.5), (0.7, 0.3)), ((1.2, 0.6), (0.4, 0.6))]
)
def test_the_gate_stands_where_both_gaussians_are_as_likely(
    deviations: tuple[float, float], shares: tuple[float, float]
) -> None:
    means = torch.tensor([1.0, 6.0], dtype=torch.float64)
    one, two = torch.tensor(deviations, dtype=torch.float64), torch.tensor(shares, dtype=torch.float64)
    level = crossing(means, one, two)
    assert 1 < level < 6
    densities = two / one * torch.exp(-0.5 * ((level - means) / one).square())
    assert_close(densities[0], densities[1])


def test_the_fit_finds_two_kinds_of_losses() -> None:
    torch.manual_seed(0)
    gate = LossGate(4000)
    for _ in range(40):
        right, wrong = 1 + 0.3 * torch.randn(70), 8 + 1.0 * torch.randn(30)
        gate.add(torch.cat([right, wrong])[torch.randperm(100)])
    assert_close(gate.means, torch.tensor([1.0, 8.0]), atol=0.1, rtol=0)
    assert_close(gate.deviations, torch.tensor([0.3, 1.0]), atol=0.1, rtol=0)
    assert_close(gate.shares, torch.tensor([0.7, 0.3]), atol=0.05, rtol=0)
    assert 1.9 < gate.threshold() < 5


def test_equal_losses_leave_a_finite_gate() -> None:
    gate = LossGate(100)
    for _ in range(5):
        gate.add(torch.full((20,), 2.0))
    assert gate.threshold().isfinite()


def test_sure_answers_take_the_place_of_labels() -> None:
    cosines = torch.tensor([[[0.9, 0.0], [0.1, 0.12]], [[0.2, 0.0], [0.0, 0.3]]], dtype=torch.float64)
    sure, losses = correction_losses(cosines, [0], 10.0, 0.5, 0.9)
    assert sure.tolist() == [True, False]
    target = torch.softmax(torch.tensor([18.0, 0.0], dtype=torch.float64), 0)
    expected = torch.stack([-(target * F.log_softmax(10 * view, 0)).sum() for view in cosines[:, 0]]).mean()
    assert_close(losses[0], expected)


def setup(labels: list[int], **changes: int | float) -> tuple[PseudoLabelled, Branch, tuple[View, View]]:
    torch.manual_seed(0)
    objective = PseudoLabelled(**{"classes": 3, "window": 64, "warmup_batches": 0, **changes})
    encoder = ToyEncoder(ToySpec(channels=4), width=8)
    branch = Branch(encoder, nn.Identity(), objective.predictor(encoder, 8), "sample")
    batch = ToyBatch(torch.randn(4 * len(labels), 4), Lengths.equal(len(labels), 4))
    view = View(batch, encoder.layout(batch), target=torch.tensor(labels))
    other = ToyBatch(batch.steps + 0.1 * torch.randn(4 * len(labels), 4), batch.lengths)
    return objective, branch, (view, replace(view, batch=other, role="local"))


def test_labels_above_the_gate_are_not_learnt_from() -> None:
    objective, branch, views = setup([0, 1, 2, 1], sure=0.999, correction_weight=0.0)
    objective.gate.means.copy_(torch.tensor([-100.0, -90.0]))  # a gate below every loss
    assert objective(views, branch, None, torch.Generator()).value == 0
    objective.gate.means.copy_(torch.tensor([100.0, 200.0]))
    loss = objective.eval()(views, branch, None, torch.Generator())
    assert loss.metrics["believed"] == 1
    assert_close(loss.value, loss.metrics["label_loss"])
    cosines = torch.stack([branch.predictor(branch.embed(view)) for view in views])
    expected = label_losses(cosines, torch.tensor([0, 1, 2, 1]), 30.0, 0.2).mean()
    assert_close(loss.value, expected)


def test_all_labels_are_believed_at_first_and_the_gate_follows() -> None:
    objective, branch, views = setup([0, 1, 2, 0], warmup_batches=2)
    believed = [float(objective(views, branch, None, torch.Generator()).metrics["believed"]) for _ in range(4)]
    assert believed[:2] == [1, 1]
    assert objective.batches == 4
    assert int((~objective.gate.losses.isnan()).sum()) == 16
