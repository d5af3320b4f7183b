"""Next-token prediction against loops over samples and places; and what a causal encoder may see."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from manyviews.errors import UserError
from manyviews.lengths import Lengths
from manyviews.mask import Mask
from manyviews.nets.transformer import Transformer
from manyviews.objective import Branch
from manyviews.objectives.autoregression import Autoregression, following
from manyviews.testing.toy import ToyBatch, ToyEncoder, ToySpec
from manyviews.view import View

LENGTHS = [4, 1, 3, 2]


def setup(**parameters: Any) -> tuple[Autoregression, Branch, View]:
    torch.manual_seed(0)
    objective = Autoregression(**parameters).double()
    encoder = ToyEncoder(ToySpec(channels=3), width=8, causal=True).double()
    student = Branch(encoder, objective.head(encoder, 8), objective.predictor(encoder, 8).double(), "sample")
    batch = ToyBatch(torch.randn(sum(LENGTHS), 3, dtype=torch.float64), Lengths.of(LENGTHS))
    return objective, student, View(batch, encoder.layout(batch))


def loss(objective: Autoregression, student: Branch, view: View) -> Any:
    return objective((view,), student, None, torch.Generator())


def pairs(ahead: int) -> list[tuple[int, int]]:
    """(token, token `ahead` places further) of one sample, sample by sample."""
    found, start = [], 0
    for length in LENGTHS:
        found += [(start + place, start + place + ahead) for place in range(length - ahead)]
        start += length
    return found


@pytest.mark.parametrize("ahead", [1, 2, 5])
def test_following_stays_within_a_sample(ahead: int) -> None:
    later, real = following(Lengths.of(LENGTHS), ahead)
    assert [(i, int(later[i])) for i in range(sum(LENGTHS)) if real[i]] == pairs(ahead)


@pytest.mark.parametrize("ahead", [1, 2])
def test_cross_entropy_longhand(ahead: int) -> None:
    objective, student, view = setup(ahead=ahead)
    logits = student.predictor(student.encoder(view).tokens)
    classes = student.encoder.classes(view.batch)
    wanted = [logits[i].logsumexp(0) - logits[i][classes[j]] for i, j in pairs(ahead)]
    right = [float(logits[i].argmax() == classes[j]) for i, j in pairs(ahead)]
    found = loss(objective, student, view)
    assert_close(found.value, torch.stack(wanted).mean())
    assert_close(found.metrics["accuracy"], torch.tensor(sum(right) / len(right), dtype=torch.float64))


@pytest.mark.parametrize(("kind", "power"), [("mse", 2), ("l1", 1)])
def test_numbers_longhand(kind: str, power: int) -> None:
    objective, student, view = setup(loss=kind)
    answers = student.predictor(student.encoder(view).tokens)
    wanted = [(answers[i] - view.batch.steps[j]).abs() ** power for i, j in pairs(1)]
    assert_close(loss(objective, student, view).value, torch.stack(wanted).mean())


def test_samples_without_a_next_token_cost_nothing() -> None:
    objective, student, view = setup(ahead=9)
    found = loss(objective, student, view)
    assert_close(found.value, torch.zeros((), dtype=torch.float64))
    found.value.backward()


def test_a_constant_sequence_is_learnt() -> None:
    objective, student, view = setup()
    optimizer = torch.optim.Adam(student.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        value = loss(objective, student, view).value
        value.backward()
        optimizer.step()
    assert value < 0.1


@pytest.mark.parametrize("lengths", [[4, 4], [4, 1, 3]])
def test_a_causal_token_sees_itself_and_those_before_it(lengths: list[int]) -> None:
    torch.manual_seed(0)
    net = Transformer(8, depth=2, heads=2, causal=True).double()
    tokens = torch.randn(sum(lengths), 8, dtype=torch.float64, requires_grad=True)
    out = net(tokens, Lengths.of(lengths))
    owners, places = Lengths.of(lengths).owners(), Lengths.of(lengths).places()
    for token in range(len(tokens)):
        (gradient,) = torch.autograd.grad(out[token, 0], tokens, retain_graph=True)
        seen = (owners == owners[token]) & (places <= places[token])
        assert torch.equal(gradient.abs().sum(1) > 0, seen)


def test_a_causal_token_does_not_depend_on_the_padding() -> None:
    torch.manual_seed(0)
    net = Transformer(8, depth=2, heads=2, causal=True).double()
    tokens = torch.randn(8, 8, dtype=torch.float64)
    together = net(tokens, Lengths.of([3, 5])).split([3, 5])
    for alone, part in zip(tokens.split([3, 5]), together, strict=True):
        assert_close(net(alone, Lengths.of([len(alone)])), part)


def test_an_encoder_that_sees_the_answer_is_refused() -> None:
    with pytest.raises(UserError, match=r"tokens see those that they are to predict; set `encoder.causal: true`"):
        Autoregression().predictor(ToyEncoder(ToySpec(channels=3)), 8)


def test_views_that_withhold_tokens_are_refused() -> None:
    objective, student, view = setup()
    hidden = View(view.batch, view.layout, Mask(torch.zeros(1, sum(LENGTHS), dtype=torch.bool)))
    with pytest.raises(UserError, match="these views withhold some; use `whole`"):
        loss(objective, student, hidden)
