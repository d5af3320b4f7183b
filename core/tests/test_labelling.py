"""Labels out of text: what is a class, in which order, and what is said of a number that is none."""

from __future__ import annotations

import numpy as np
import pytest

from manyviews.errors import DataError
from manyviews.labelling import labels_of_text


def test_classes_stand_in_the_order_of_their_numbers_then_of_their_names() -> None:
    labels = labels_of_text("age", ["10", "b", "9", "n/a", "", "a", "10"], "classes")
    assert (labels.name, labels.kind, labels.classes) == ("age", "classification", ("9", "10", "a", "b"))
    assert labels.values.tolist() == [1, 3, 0, -1, -1, 2, 1]


def test_numbers_and_what_is_not_known() -> None:
    labels = labels_of_text("age", ["1.5", "NA", "-2"], "numbers")
    assert labels.kind == "regression"
    np.testing.assert_array_equal(labels.values, [1.5, np.nan, -2.0])


def test_a_number_that_is_none_is_named_with_its_place() -> None:
    with pytest.raises(DataError, match=r"^people.csv, row 1: the target 'age' is to be a number, and one is 'old'$"):
        labels_of_text("age", ["1", "old"], "numbers", lambda number: f"people.csv, row {number}")
    with pytest.raises(DataError, match=r"^the target 'age' is to be a number, and one is 'old'$"):
        labels_of_text("age", ["old"], "numbers")
