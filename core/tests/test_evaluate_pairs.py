"""Pairs of units: how they come to a task, with their units and no others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from manyviews.engine.judge import evaluate_run
from manyviews.engine.pretrain import pretrain
from manyviews.errors import DataError
from manyviews.evaluate.clustering import Clustering
from manyviews.evaluate.effective_rank import EffectiveRank
from manyviews.evaluate.online import OnlineEvaluation
from manyviews.evaluate.plan import Planned, missing
from manyviews.evaluate.run import evaluate
from manyviews.evaluate.task import Embedded, Scores, Task
from manyviews.evaluate.units import Units
from manyviews.recipe.model import Recipe
from manyviews.source import Labels, Pairs
from manyviews.testing.toy import ToyEncoder, ToySource, ToySpec


class Related(ToySource):
    """Series in pairs, the later ones of each class with the earlier ones."""

    def pairs(self) -> Pairs:
        left, right = np.arange(0, 40, 2), np.arange(59, 39, -1)
        splits = np.array(["train", "valid", "test", "test"])[np.arange(20) % 4]
        return Pairs("kin", left, right, self.classes[left] == self.classes[right], splits)


def encoder(source: ToySource) -> ToyEncoder:
    torch.manual_seed(0)
    return ToyEncoder(cast(ToySpec, source.spec))


class Keep(Task):
    """Keeps what it was given."""

    needs_labels, needs_pairs = False, True

    def __init__(self) -> None:
        self.given: list[Embedded] = []

    def __call__(self, data: Embedded) -> Scores:
        self.given.append(data)
        return Scores({"units": float(len(data.x))})


def test_a_task_is_given_the_units_of_its_pairs_and_their_places() -> None:
    source, task = Related(), Keep()
    evaluate({}, source, (Planned("kin", task), Planned("rank", EffectiveRank())))
    given, pairs = task.given[0], source.pairs()
    assert given.pairs is not None
    assert len(given.x) == 40, "20 pairs of different units"
    x = source.features(np.arange(len(source))).astype(np.float32)
    assert_close(given.x[given.pairs.left], x[pairs.left])
    assert_close(given.x[given.pairs.right], x[pairs.right])
    assert np.array_equal(given.pairs.same, pairs.same)


def test_test_pairs_are_not_seen_in_training() -> None:
    source, task = Related(), Keep()
    OnlineEvaluation((Planned("kin", task, 1),), source, max_train=3)(encoder(source), 1)
    given = task.given[-1].pairs
    assert given is not None
    assert sorted(given.splits) == ["train"] * 3 + ["valid"] * 5


def test_pairs_that_are_not_there_are_missed_by_name() -> None:
    with pytest.raises(DataError, match="task 'kin' needs pairs, and ToySource has none"):
        evaluate({}, ToySource(), (Planned("kin", Keep()),))


def test_a_pair_of_a_unit_that_is_not_there_is_refused() -> None:
    class Small(Related):
        def __len__(self) -> int:
            return 50

        def labels(self) -> Labels:
            return Labels("y", "classification", self.classes[:50])

    with pytest.raises(DataError, match="a pair of 'kin' names unit 59, and there are 50"):
        Units.of(Small())


class Everything(Task):
    """Keeps the splits that it was given."""

    needs_labels, every_unit = True, True

    def __init__(self) -> None:
        self.given: list[Any] = []

    def __call__(self, data: Embedded) -> Scores:
        self.given.append(sorted(set(data.splits)))
        return Scores({"units": float(len(data.x))})


def test_a_task_of_every_unit_is_given_those_of_no_split() -> None:
    class Public(ToySource):
        def labels(self) -> Labels:
            splits = np.array(["train", "valid", "test", ""])[np.arange(64) % 4]
            return Labels("y", "classification", self.classes, splits=splits)

    task = Everything()
    table = evaluate({}, Public(), (Planned("all", task),))
    assert table.metrics()["all/raw_input/features/units"] == 64
    OnlineEvaluation((Planned("all", task, 1),), Public())(encoder(Public()), 1)
    assert task.given == [["", "test", "train", "valid"], ["", "train", "valid"]]


def test_a_task_of_classes_is_missed_where_labels_are_numbers() -> None:
    class Measured(ToySource):
        def labels(self) -> Labels:
            return Labels("size", "regression", np.arange(64.0))

    assert missing(Clustering(), Measured()) == "classes"
    assert missing(Clustering(), ToySource()) is None
    with pytest.raises(DataError, match="task 'clusters' needs classes, and Measured has none"):
        evaluate({}, Measured(), (Planned("clusters", Clustering()),))


def test_test_pairs_of_one_kind_are_told_of_before_training(
    toy_recipe: Callable[..., Recipe], capsys: pytest.CaptureFixture[str]
) -> None:
    class Alike(Related):
        """All of the test split belong together."""

        def pairs(self) -> Pairs:
            pairs = super().pairs()
            return replace(pairs, same=np.where(pairs.splits == "test", True, np.arange(20) % 8 < 4))

    asked = [{"task": "verification", "target_share": 0.05}]
    pretrain(toy_recipe(evaluate=asked, train__steps=2), source=Alike())
    told = [line for line in capsys.readouterr().err.splitlines() if "verification" in line]
    assert len(told) == 1
    assert "`manyviews evaluate` will not be able to judge by verification: pairs 'kin': all 10 of split 'test'" in told[0]
    pretrain(toy_recipe(evaluate=asked, train__steps=2), source=Related())
    assert "verification" not in capsys.readouterr().err


def test_a_task_asked_for_by_name_is_that_of_the_recipe(toy_recipe: Callable[..., Recipe]) -> None:
    asked = [{"task": "verification", "target_share": 0.2}, {"task": "effective_rank"}]
    source = Related()
    run = pretrain(toy_recipe(evaluate=asked, train__steps=2), source=source)
    whole = evaluate_run(run.folder, source=source)
    alone = evaluate_run(run.folder, source=source, tasks=["verification", "spread"])
    assert [row for row in alone.rows if row.task == "verification"] == [
        row for row in whole.rows if row.task == "verification"
    ]
    assert {row.task for row in alone.rows} == {"verification", "spread"}


def test_a_list_of_trials_is_left_to_evaluation(toy_recipe: Callable[..., Recipe], capsys: pytest.CaptureFixture[str]) -> None:
    class Trials(Related):
        """As published: all of them test."""

        def pairs(self) -> Pairs:
            return replace(super().pairs(), splits=np.full(20, "test"))

    asked = [{"task": "verification", "every": 1}, {"task": "effective_rank", "every": 1}]
    run = pretrain(toy_recipe(evaluate=asked, train__steps=2), source=Trials())
    assert "All pairs are for testing: verification left to `manyviews evaluate`\n" in capsys.readouterr().err
    told = {name for entry in run.metrics() for name in entry.metrics if name.startswith("eval/")}
    assert told == {"eval/effective_rank/effective_rank", "eval/effective_rank/effective_rank_share"}
    assert {row.task for row in evaluate_run(run.folder, source=Trials()).rows} == {"verification", "effective_rank"}
