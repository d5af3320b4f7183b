"""Which units a probe fits on, chooses on and reports."""

from __future__ import annotations

import numpy as np
import pytest

from manyviews.errors import DataError
from manyviews.evaluate.cut import cut
from manyviews.evaluate.task import Embedded
from manyviews.source import Labels


def data(
    splits: list[str], y: list[int] | list[float] | None = None, groups: np.ndarray | None = None, classes: tuple[str, ...] = ()
) -> Embedded:
    values = np.arange(len(splits)) % 2 if y is None else np.array(y)
    kind = "classification" if values.dtype.kind == "i" else "regression"
    return Embedded(np.zeros((len(splits), 1), np.float32), np.array(splits), Labels("y", kind, values, classes), groups)


def test_all_three_splits_are_used_as_they_are() -> None:
    parts = cut(data(["train"] * 6 + ["valid"] * 2 + ["test"] * 2), choosing=True)
    assert (parts.fit.tolist(), parts.choose.tolist(), parts.report.tolist()) == (list(range(6)), [6, 7], [8, 9])
    assert parts.notes == ()


def test_without_a_test_split_the_validation_split_is_reported_and_never_chosen_on() -> None:
    parts = cut(data(["train"] * 40 + ["valid"] * 10), choosing=True)
    assert parts.report.tolist() == list(range(40, 50))
    assert len(parts.choose) == 8
    assert sorted([*parts.fit, *parts.choose]) == list(range(40))
    assert any("the penalty chosen on 8 units cut from the training units (stratified)" in note for note in parts.notes)


def test_training_units_alone_are_cut_twice_without_overlap() -> None:
    parts = cut(data(["train"] * 50), choosing=True)
    assert sorted([*parts.fit, *parts.choose, *parts.report]) == list(range(50))
    assert len(parts.notes) == 2


def test_nothing_to_choose_cuts_nothing() -> None:
    parts = cut(data(["train"] * 6 + ["test"] * 2), choosing=False)
    assert len(parts.fit) == 6
    assert parts.notes == ()


def test_a_cut_is_stratified_and_repeats() -> None:
    y = [0] * 80 + [1] * 20
    first, second = (cut(data(["train"] * 100, y), choosing=False) for _ in range(2))
    assert len(first.report) == 20
    assert np.bincount(np.array(y)[first.report])[1] in (3, 4, 5)
    assert np.array_equal(first.report, second.report)


def test_a_cut_tears_no_group_apart() -> None:
    groups = np.repeat(np.arange(20), 5)
    parts = cut(data(["train"] * 100, groups=groups), choosing=True)
    of = [set(groups[rows]) for rows in (parts.fit, parts.choose, parts.report)]
    assert not of[0] & of[1]
    assert not of[0] & of[2]
    assert not of[1] & of[2]
    assert any("whole groups" in note for note in parts.notes)


def test_more_classes_than_units_cut_off() -> None:
    y = np.repeat(np.arange(30), 2)
    parts = cut(data(["train"] * 60, y.tolist()), choosing=False)
    assert len(parts.report) == 12
    assert len(np.unique(y[parts.report])) == 12  # one of a class, never both
    assert len(np.unique(y[parts.fit])) == 30


def test_groups_in_several_splits_are_told() -> None:
    groups = np.array([0, 0, 1, 1, 0, 2])
    parts = cut(data(["train", "train", "train", "train", "test", "test"], groups=groups), choosing=False)
    assert parts.notes == ("1 groups stand in more than one split: the numbers may be too good",)


NAN = float("nan")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (data(["train"] * 20, [0] * 19 + [1], classes=("common", "rare")), "class 'rare' has one labelled training unit"),
        (data(["train"] * 8 + ["test"] * 2, [1] * 8 + [0, 1]), "are all of class 1"),
        (data(["train"] * 8 + ["test"] * 2, [2.5] * 8 + [1.0, 2.0]), "the target is 2.5 in all"),
        (data(["train"] * 8 + ["test"] * 2, [-1] * 7 + [1, 0, 1]), "1 labelled training units; a probe needs at least 2"),
        (data(["train"] * 8 + ["test"] * 2, [NAN] * 8 + [1.0, 2.0]), "0 labelled training units"),
        (data(["train"] * 8 + ["test"] * 2, [0, 1] * 4 + [1, 1]), "the 2 reported units are all of class 1"),
        (data(["train"] * 8 + ["test"] * 2, [0.5, 1.5] * 4 + [1.0, 1.0]), "the target is 1 in all 2 reported units"),
        (data(["train"] * 2, [1.0, 2.0]), "2 labelled training units are too few"),
        (data(["train"] * 20, groups=np.zeros(20)), "are of one group"),
        (Embedded(np.zeros((2, 1), np.float32), np.array(["train", "test"])), "needs labels"),
    ],
)
def test_data_that_cannot_be_probed(given: Embedded, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        cut(given, choosing=True)
    assert str(error.value).count("\n") <= 2


def test_labels_of_another_length_are_refused() -> None:
    with pytest.raises(DataError, match="disagree in number"):
        Embedded(np.zeros((3, 1), np.float32), np.array(["train"] * 3), Labels("y", "classification", np.zeros(2, np.int64)))
