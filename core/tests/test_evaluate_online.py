"""Evaluation during training: rhythm, names, splits, and training left undisturbed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from jaxtyping import Int, Shaped
from torch import nn
from torch.testing import assert_close

from manyviews.errors import DataError
from manyviews.evaluate.effective_rank import EffectiveRank
from manyviews.evaluate.knn import KNN
from manyviews.evaluate.linear_probe import LinearProbe
from manyviews.evaluate.online import OnlineEvaluation
from manyviews.evaluate.plan import Planned, plan
from manyviews.evaluate.task import Embedded, Scores, Task
from manyviews.evaluate.units import Units
from manyviews.recipe.model import Evaluation
from manyviews.source import Labels
from manyviews.testing.toy import ToyBatch, ToyEncoder, ToySource


class Watched(ToySource):
    """Remembers which samples were read."""

    def __init__(self, *, length: int | tuple[int, int] = 8, samples: int = 64) -> None:
        super().__init__(samples=samples, length=length)
        self.read: set[int] = set()

    def batch(self, index: Int[np.ndarray, "samples"]) -> ToyBatch:
        self.read |= set(index.tolist())
        return super().batch(index)


class Keep(Task):
    """Keeps what it was given."""

    better = {}  # noqa: RUF012

    def __init__(self, needs_labels: bool) -> None:
        self.needs_labels = needs_labels  # type: ignore[misc]
        self.given: list[Embedded] = []

    def __call__(self, data: Embedded) -> Scores:
        self.given.append(data)
        return Scores({"width": float(data.x.shape[1])})


class Nodes(Watched):
    """Labels of every token, with splits of their own."""

    def labels(self) -> Labels:
        values = np.concatenate([np.arange(n) % 2 for n in self.lengths])
        values[::5] = -1
        splits = np.array(["train", "valid", "test"])[np.arange(len(values)) % 3]
        return Labels("node", "classification", values, splits=splits)


def encoder(source: ToySource) -> ToyEncoder:
    torch.manual_seed(0)
    return ToyEncoder(source.spec, dropout=0.5)


def test_names_and_rhythm() -> None:
    source = Watched()
    planned = (Planned("linear_probe", LinearProbe(), 10), Planned("rank", EffectiveRank(), 5), Planned("last", KNN(k=3)))
    online = OnlineEvaluation(planned, source)
    model = encoder(source)
    assert online(model, 0) == {}
    assert online(model, 7) == {}
    assert {name.split("/")[1] for name in online(model, 5)} == {"rank"}
    assert {name.split("/")[1] for name in online(model, 7, last=True)} == {"linear_probe", "rank", "last"}
    metrics = online(model, 10)
    assert {"eval/linear_probe/accuracy", "eval/linear_probe/auc", "eval/rank/effective_rank"} <= set(metrics)
    assert metrics["eval/linear_probe/accuracy"] > 0.6
    assert metrics == online(model, 20)


def test_tokens_have_the_label_of_their_sample_where_samples_are_labelled() -> None:
    source = Watched()
    units = OnlineEvaluation((Planned("p", LinearProbe()),), source, unit="token").units(encoder(source))
    assert list(units.labels.values) == [label for label in source.labels().values for _ in range(8)]
    source.labels = lambda: Labels("odd", "classification", np.zeros(65, np.int64))
    online = OnlineEvaluation((Planned("p", LinearProbe()),), source, unit="token")
    with pytest.raises(DataError, match=r"65 labels 'odd' for 512 units; expected one for each"):
        online.units(encoder(source))


def test_what_cannot_be_judged_is_refused_when_tokens_are_counted() -> None:
    source = Nodes()
    with pytest.raises(DataError, match="k=5000"):
        OnlineEvaluation((Planned("k", KNN(k=5000)),), source, unit="token").units(encoder(source))


def test_a_plan_names_tasks_apart() -> None:
    probe = Evaluation.model_validate({"task": "linear_probe", "every": 5})
    flat = Evaluation.model_validate({"task": "linear_probe", "form": "flat"})
    few = Evaluation.model_validate({"task": "linear_probe", "labels": 100})
    planned = plan([probe, flat, few], [LinearProbe()] * 3)
    assert [item.name for item in planned] == ["linear_probe", "linear_probe_flat", "linear_probe_2"]
    assert [(item.every, item.form) for item in planned[:2]] == [(5, "pooled"), (None, "flat")]
    assert [item.name for item in plan([probe, flat, few], [LinearProbe()] * 3, every_form=True)] == [
        "linear_probe",
        "linear_probe_2",
    ]


def test_the_test_split_is_never_read() -> None:
    source = Watched()
    OnlineEvaluation((Planned("p", LinearProbe(), 1), Planned("r", EffectiveRank(), 1)), source)(encoder(source), 1)
    splits = source.splits()
    assert {splits[i] for i in source.read} == {"train", "valid"}


def test_units_are_capped_and_the_same_for_both_kinds_of_task() -> None:
    source, with_labels, without = Watched(), Keep(True), Keep(False)
    online = OnlineEvaluation(
        (Planned("a", with_labels, 1), Planned("b", without, 1, "flat")), source, max_train=10, max_valid=4
    )
    model = encoder(source)
    assert online(model, 1) == {"eval/a/width": 16.0, "eval/b/width": 128.0}
    online(model, 2)
    assert len(source.read) == 14
    assert np.bincount(np.unique(with_labels.given[0].splits, return_inverse=True)[1]).tolist() == [10, 4]
    assert_close(with_labels.given[0].x, with_labels.given[1].x, rtol=0, atol=0)
    flat = without.given[0].x.reshape(14, 8, 16)
    assert_close(with_labels.given[0].x, flat.mean(1))


def test_training_goes_on_as_if_nothing_had_been_asked() -> None:
    source = Watched()

    def train(online: OnlineEvaluation | None) -> list[torch.Tensor]:
        model = encoder(source).train()
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
        for step in range(1, 4):
            batch = source.batch(np.arange(8))
            loss = nn.functional.dropout(model.inwards(batch.steps), 0.5).square().mean()
            loss.backward()
            if online is not None:
                online(model, step)  # between backward and step: gradients must survive
            assert model.training
            optimiser.step()
            optimiser.zero_grad()
        return [parameter.detach() for parameter in model.parameters()]

    planned = (Planned("p", LinearProbe(), 1), Planned("k", KNN(k=3), 1), Planned("r", EffectiveRank(), 1))
    assert_close(train(OnlineEvaluation(planned, source)), train(None), rtol=0, atol=0)


@pytest.mark.parametrize("length", [7, (2, 9)])
def test_tokens_are_probed_with_their_own_labels_and_splits(length: int | tuple[int, int]) -> None:
    source, task = Nodes(length=length), Keep(True)
    model = encoder(source)
    online = OnlineEvaluation((Planned("a", task, 1),), source, unit="token", max_train=30, max_valid=20)
    online(model, 1)
    given = task.given[0]
    assert given.labels is not None
    assert sorted(np.unique(given.splits)) == ["train", "valid"]
    assert given.x.shape == (50, 16)
    assert (given.labels.values >= 0).all()
    # each drawn token's vector is that of the same token when everything is embedded
    units = Units.of(source, source.lengths)
    rows = units.draw(online.limits, with_labels=True, seed=0)
    tokens = np.concatenate([_tokens(model, source, sample) for sample in range(len(source))])
    assert_close(given.x, tokens[rows], atol=1e-5, rtol=1e-5)
    assert np.array_equal(given.labels.values, source.labels().values[rows])


def _tokens(model: ToyEncoder, source: ToySource, sample: int) -> np.ndarray:
    from manyviews.evaluate.embed import embed

    return embed(model, source, np.array([sample]), unit="token")


def test_labels_that_cannot_be_used_are_refused_before_training() -> None:
    class Unlabelled(Watched):
        def labels(self) -> None:
            return None

    class OneClass(Watched):
        def labels(self) -> Labels:
            return Labels("y", "classification", np.zeros(len(self), np.int64))

    class TooFew(Watched):
        def labels(self) -> Labels:
            return Labels("y", "classification", np.arange(5))

        def groups(self) -> Shaped[np.ndarray, "samples"]:
            return np.arange(len(self))

    planned = (Planned("linear_probe", LinearProbe(), 1),)
    with pytest.raises(DataError, match="task 'linear_probe' needs labels, and Unlabelled has none"):
        OnlineEvaluation(planned, Unlabelled())
    with pytest.raises(DataError, match="k=60 neighbours asked for, there are 32"):
        OnlineEvaluation((Planned("knn", KNN(k=60), 1),), Watched())
    with pytest.raises(DataError, match="1000 labelled training units asked for"):
        OnlineEvaluation((Planned("few", LinearProbe(labels=1000), 1),), Watched())
    with pytest.raises(DataError, match="are all of class 0"):
        OnlineEvaluation(planned, OneClass())
    with pytest.raises(DataError, match="5 labels 'y' for 64 units"):
        OnlineEvaluation(planned, TooFew())
    OnlineEvaluation((Planned("r", EffectiveRank(), 1),), Unlabelled())


def test_classes_that_the_draw_meets_once_do_not_stop_training() -> None:
    class LongTail(Watched):
        def labels(self) -> Labels:
            return Labels(
                "y", "classification", np.where(np.arange(len(self)) % 7 == 0, np.arange(len(self)) + 3, self.classes)
            )

    source = LongTail()
    metrics = OnlineEvaluation((Planned("p", LinearProbe(), 1),), source)(encoder(source), 1)
    assert 0 < metrics["eval/p/accuracy"] <= 1


def test_few_labelled_samples_are_found_among_many() -> None:
    class Rare(Watched):
        def labels(self) -> Labels:
            return Labels("y", "classification", np.where(np.arange(len(self)) < 60, self.classes, -1))

    source, task = Rare(samples=2000), Keep(True)
    OnlineEvaluation((Planned("a", task, 1),), source, max_train=20, max_valid=10)(encoder(source), 1)
    assert task.given[0].labels is not None
    assert (task.given[0].labels.values >= 0).sum() == 30
