"""Cross-validation of any task, by group."""

from __future__ import annotations

import numpy as np
import pytest

from manyviews.errors import DataError
from manyviews.evaluate.clustering import Clustering
from manyviews.evaluate.folds import CrossValidated, together
from manyviews.evaluate.knn import KNN
from manyviews.evaluate.task import Embedded, Scores, Task
from manyviews.source import Labels

GROUPS = np.repeat(["a", "b", "c", "d"], 15)


def data(groups: np.ndarray | None = GROUPS) -> Embedded:
    """Two classes; those of group d lie beside the other one's of the other groups, so that it is wrong throughout."""
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    angle = np.where(GROUPS == "d", 1.4 - y, 1.5 * y) + rng.normal(size=60) / 100
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    return Embedded(x, np.full(60, "train"), Labels("y", "classification", y), groups)


def test_each_group_is_held_out_once_and_told_by_name() -> None:
    scores = CrossValidated(KNN(k=1), "leave_one_group_out")(data())
    assert {name: scores.metrics[f"accuracy/{name}"] for name in "abcd"} == {"a": 1.0, "b": 1.0, "c": 1.0, "d": 0.0}
    assert scores.metrics["accuracy"] == 0.75
    np.testing.assert_allclose(scores.std["accuracy"], np.std([1, 1, 1, 0], ddof=1))


def test_no_fold_fits_or_chooses_on_what_it_reports() -> None:
    class Spy(Task):
        needs_labels = True

        def __call__(self, data: Embedded) -> Scores:
            assert data.groups is not None
            held, fitted = set(data.groups[data.rows("test")]), set(data.groups[data.rows("train")])
            assert len(held) == 1 or not held & fitted
            assert not held & fitted
            return Scores({"seen": float(len(data.rows("train")))})

    assert CrossValidated(Spy(), "leave_one_group_out")(data()).metrics["seen"] == 45
    assert CrossValidated(Spy(), 2)(data()).metrics["seen"] == 30


def test_a_group_of_one_class_has_its_accuracy_and_no_auc() -> None:
    some = data()
    assert some.labels is not None
    some.labels.values[:15] = 0
    scores = CrossValidated(KNN(k=1), "leave_one_group_out")(some)
    assert "accuracy/a" in scores.metrics
    assert 0 <= scores.metrics["auc"] <= 1


def test_units_without_a_label_are_in_no_fold() -> None:
    some = data()
    assert some.labels is not None
    some.labels.values[:15] = -1
    scores = CrossValidated(KNN(k=3), "leave_one_group_out")(some)
    assert "accuracy/a" not in scores.metrics


def test_folds_without_groups_are_stratified() -> None:
    scores = CrossValidated(KNN(k=1), 5)(data(None))
    assert scores.std
    assert set(scores.metrics) == {"accuracy", "balanced_accuracy", "macro_f1", "auc"}


def test_what_cannot_be_folded_is_said() -> None:
    with pytest.raises(DataError, match="leave_one_group_out needs groups, and the data have none"):
        CrossValidated(KNN(), "leave_one_group_out").check(data(None))
    with pytest.raises(DataError, match="3 groups or more with labels, and there are 2"):
        CrossValidated(KNN(), "leave_one_group_out").check(data(np.repeat(["a", "b"], 30)))
    with pytest.raises(DataError, match="Clustering goes by no splits"):
        CrossValidated(Clustering(), "leave_one_group_out")


def test_notes_of_folds_that_differ_in_numbers_are_one() -> None:
    found = together(
        ["chosen on 1,359 units of 4", "chosen on 962 units of 4", "other 0.5", "chosen on 1,400 units of 4", "other 0.25"]
    )
    assert found == (
        "chosen on 1,359 units of 4 (and 2 alike, with other numbers)",
        "other 0.5 (and 1 alike, with other numbers)",
    )
    assert together(["as it is 3", "as it is 3", "without"]) == ("as it is 3", "without")
