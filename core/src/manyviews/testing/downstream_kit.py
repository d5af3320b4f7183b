"""Supervised tasks: the domain's own, and the core's where the data have labels for them."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest
import torch

from manyviews.downstream import Downstream, LabelledUnits, Net
from manyviews.errors import DataError
from manyviews.evaluate.embed import evaluating
from manyviews.finetuning.budget import draw_labels
from manyviews.objective import Unit
from manyviews.plugins.schema import build
from manyviews.testing.bench import Bench
from manyviews.testing.kit import Kit
from manyviews.testing.subject import Case, Subject

STEPS, RATE = 20, 1e-3


@dataclass(frozen=True)
class Pairing:
    """A task with an encoder that it can be trained on."""

    task: Case
    encoder: Case
    unit: Unit

    def __str__(self) -> str:
        return f"{self.task.part.name.rpartition('/')[2]}-{self.encoder}"


class DownstreamKit(Kit):
    """What finetuning relies on, for each task on each kind of data, with the first encoder that fits."""

    kind = "downstream"

    @classmethod
    def cases(cls) -> Sequence[Any]:
        """Tasks with encoders. Whether the data have labels shows when they are read."""
        subject = cls.subject()
        encoders = [case for case in subject.cases("encoder") if not case.variant]
        tasks = [
            Case(part, data, subject.trial.parts.get(part.name, {}))
            for part in subject.registry.components("downstream")
            for data in subject.trial.kinds(part.name)
        ]
        found = (cls._pairing(subject, task, encoders) for task in tasks)
        return [pairing for pairing in found if pairing is not None]

    @staticmethod
    def _pairing(subject: Subject, task: Case, encoders: Sequence[Case]) -> Pairing | None:
        unit: Unit = "token" if task.data in subject.trial.single else "sample"
        needs = task.part.load().needs
        fitting = [case for case in encoders if case.data == task.data and needs <= case.part.load().offers]
        return Pairing(task, fitting[0], unit) if fitting else None

    def test_it_learns_from_chosen_labels_reports_and_answers(self, case: Pairing, bench: Bench) -> None:
        task = cast(Downstream, build(case.task.part, case.task.parameters, key="task"))
        source, encoder = bench.source(case.task.data), copy.deepcopy(bench.encoder(case.encoder))
        try:
            units = task.units(source, encoder, case.unit)
        except DataError as error:
            if case.task.data in bench.subject.trial.on.get(case.task.part.name, ()):
                raise
            pytest.skip(f"these data have no labels for it: {error}")
        chosen = draw_labels(units, min(12, _count(units)), 0)
        answers = task.learn(source, units, chosen)
        answers = task.answers.model_validate_json(answers.model_dump_json())
        net = Net(encoder, task.head(encoder, answers, case.unit), case.unit)
        read = pickle.loads(pickle.dumps(task.reader(source, units, chosen)))
        samples = units.samples(chosen)[:6]
        batch, again = (read(samples, np.random.default_rng(0)) for _ in range(2))
        assert len(batch) >= len(samples)  # bags hold several crops of a sample
        if isinstance(batch.truth, torch.Tensor):
            assert torch.equal(batch.truth.nan_to_num(), again.truth.nan_to_num()), "one seed reads one batch"
        losses = _train(task, net, answers, batch)
        assert all(map(math.isfinite, losses)), f"not finite: {losses}"
        assert losses[-1] < losses[0], f"the loss of one batch does not fall: {losses}"
        assert any(p.grad is not None for p in net.encoder.parameters()), "no gradient reaches the encoder"
        with evaluating(net):
            metrics = task.evaluate(net, answers, source, units, units.rows("valid") if len(units.rows("valid")) else chosen)
            answered = [number for some, _ in task.predict(net, answers, source, samples) for number in some]
        assert task.chosen_by in metrics
        assert set(task.better.values()) <= {"higher", "lower"}
        assert all(math.isfinite(value) for value in metrics.values()), f"not finite: {metrics}"
        assert answered == list(samples), "each sample is answered once, in order"


def _count(units: LabelledUnits) -> int:
    train = units.rows("train")
    return len(train) if units.groups is None else len(np.unique(units.groups[train]))


def _train(task: Downstream, net: Net, answers: Any, batch: Any) -> list[float]:
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    losses = []
    for step in range(STEPS):
        torch.manual_seed(0)
        loss = task.loss(net, answers, batch, torch.Generator().manual_seed(0))
        losses.append(float(loss.value.detach()))
        if step < STEPS - 1:
            optimizer.zero_grad()
        torch.autograd.backward(loss.value)
        if step < STEPS - 1:
            optimizer.step()
    return losses
