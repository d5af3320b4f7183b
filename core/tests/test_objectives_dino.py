"""DINO against the paper's algorithm written out in loops; its centre and temperature."""

from __future__ import annotations

import math

import torch
from torch.testing import assert_close

from manyviews.objectives.dino import DINO, assignments, dino, entropy
from manyviews.objectives.shared import pairs


def softmax(values: list[float]) -> list[float]:
    top = max(values)
    powers = [math.exp(value - top) for value in values]
    return [power / sum(powers) for power in powers]


def longhand(student: torch.Tensor, teacher: torch.Tensor, seen: list[int], center: torch.Tensor) -> list[float]:
    """- sum_k P_t log P_s, mean over pairs of different views; temperatures .1 and .04."""
    losses = []
    for i in range(student.shape[1]):
        values = []
        for g, origin in enumerate(seen):
            target = softmax([(float(t) - float(c)) / 0.04 for t, c in zip(teacher[g, i], center, strict=True)])
            for v in range(len(student)):
                if v != origin:
                    predicted = softmax([float(s) / 0.1 for s in student[v, i]])
                    values.append(-sum(t * math.log(p) for t, p in zip(target, predicted, strict=True)))
        losses.append(sum(values) / len(values))
    return losses


def test_longhand() -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = torch.randn(3, 8, 6, generator=generator), torch.randn(2, 8, 6, generator=generator)
    center = torch.randn(6, generator=generator)
    expected = torch.tensor(longhand(student.double(), teacher.double(), [0, 1], center.double()), dtype=torch.float64)
    values = dino(student, assignments(teacher, center, 0.04), pairs(3, [0, 1]), 0.1)
    assert_close(values.double(), expected, rtol=1e-4, atol=1e-4)
    targets = assignments(teacher.double(), center.double(), 0.04)
    assert_close(dino(student.double(), targets, pairs(3, [0, 1]), 0.1), expected)


def test_reference_value_of_a_wide_pair() -> None:
    """In one expression over float64: both directions of two views."""
    student, teacher = torch.randn(2, 2, 256, 256, generator=torch.Generator().manual_seed(0))
    log_s, t = (student.double() / 0.1).log_softmax(-1), (teacher.double() / 0.04).softmax(-1)
    expected = -((t[0] * log_s[1]).sum(-1) + (t[1] * log_s[0]).sum(-1)) / 2
    values = dino(student, assignments(teacher, torch.zeros(256), 0.04), pairs(2, [0, 1]), 0.1)
    assert_close(values.double(), expected, rtol=1e-4, atol=1e-4)


def test_shifting_all_logits_changes_nothing() -> None:
    logits, center = torch.randn(2, 5, 4, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    assert_close(assignments(logits + 7, center, 0.04), assignments(logits, center, 0.04))
    targets = assignments(logits, center, 0.04)
    assert_close(dino(logits + 7, targets, pairs(2, [0, 1]), 0.1), dino(logits, targets, pairs(2, [0, 1]), 0.1))


def test_at_collapse_a_centred_teacher_is_uniform() -> None:
    same = torch.randn(4).expand(2, 6, 4)
    targets = assignments(same, same[0, 0], 0.04)
    assert_close(entropy(targets), torch.full((2, 6), math.log(4)))
    assert_close(dino(torch.zeros(2, 6, 4), targets, pairs(2, [0, 1]), 0.1), torch.full((6,), math.log(4)))


def test_teacher_temperature_warms_up() -> None:
    objective = DINO(out=4, warmup_teacher_temperature=0.02, teacher_temperature=0.06, warmup_batches=4)
    seen = []
    for batch in (0, 1, 4, 9):
        objective.batches.fill_(batch)
        seen.append(objective.temperature())
    assert_close(torch.stack(seen), torch.tensor([0.02, 0.03, 0.06, 0.06]))
    assert_close(DINO(out=4, warmup_teacher_temperature=0.02, teacher_temperature=0.06).temperature(), torch.tensor(0.06))


def test_gradient() -> None:
    student = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    targets = torch.rand(2, 4, 3, dtype=torch.float64).softmax(-1)
    assert torch.autograd.gradcheck(lambda s: dino(s, targets, pairs(2, [0, 1]), 0.5), student)
