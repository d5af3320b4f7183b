"""The scikit-learn transformer keeps scikit-learn's promises."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from manyviews.errors import DataError
from manyviews_tabular.sklearn import TablePretrainer

TINY = {"steps": 2, "batch_size": 16, "sections": {"encoder": {"width": 8, "depth": 1, "heads": 2}, "train": {"device": "cpu"}}}


@pytest.fixture
def rows(frame):
    return frame.drop(columns="label")


@pytest.fixture
def fitted(rows):
    return TablePretrainer(**TINY).fit(rows)


def test_embeddings_of_a_frame(fitted, rows):
    x = fitted.transform(rows)
    assert x.shape == (60, 16)
    assert x.dtype == np.float32
    assert list(fitted.get_feature_names_out())[:2] == ["tablepretrainer0", "tablepretrainer1"]
    assert list(fitted.feature_names_in_) == list(rows.columns)
    assert fitted.n_features_in_ == rows.shape[1]


def test_a_row_does_not_depend_on_its_batch(fitted, rows):
    x = fitted.transform(rows)
    alone = np.concatenate([fitted.transform(rows[i : i + 1]) for i in range(0, 60, 7)])
    np.testing.assert_array_max_ulp(x[::7], alone, maxulp=1)


def test_columns_are_matched_by_name(fitted, rows):
    shuffled = rows[rows.columns[::-1]].assign(more=0)
    np.testing.assert_array_equal(fitted.transform(shuffled), fitted.transform(rows))
    with pytest.raises(DataError, match="column 'age' missing"):
        fitted.transform(rows.drop(columns="age"))


def test_no_rows(fitted, rows):
    assert fitted.transform(rows[:0]).shape == (0, 16)
    with pytest.raises(DataError, match="no rows"):
        TablePretrainer(**TINY).fit(rows[:0])


def test_the_same_seed_gives_the_same_embedding(fitted, rows):
    np.testing.assert_array_equal(clone(fitted).fit(rows).transform(rows), fitted.transform(rows))
    other = TablePretrainer(**TINY, random_state=1).fit(rows)
    assert not np.allclose(other.transform(rows), fitted.transform(rows))


def test_it_pickles(fitted, rows):
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).transform(rows), fitted.transform(rows))


def test_pandas_output_and_flat_form(rows):
    estimator = TablePretrainer(**TINY, form="flat").set_output(transform="pandas")
    out = estimator.fit_transform(rows)
    assert isinstance(out, pd.DataFrame)
    assert out.shape == (60, 8 * len(estimator.spec_.tokens))
    assert list(out.columns) == list(estimator.get_feature_names_out())
    assert list(out.index) == list(rows.index)


def test_in_a_pipeline(rows, frame):
    model = make_pipeline(TablePretrainer(**TINY), LogisticRegression()).fit(rows, frame.label)
    assert set(model.predict(rows)) <= {"no", "yes"}


def test_arrays_lists_and_types(frame):
    array = frame[["age", "income"]].to_numpy()
    estimator = TablePretrainer(**TINY).fit(array)
    np.testing.assert_array_equal(estimator.transform(array), estimator.transform(array.tolist()))
    codes = np.random.default_rng(0).integers(0, 3, (40, 2))
    assert TablePretrainer(**TINY, types={"x0": "categorical"}).fit(codes).spec_.categorical[0].name == "x0"


def test_the_recipe_may_be_another(rows):
    small = {"encoder": {"width": 8, "depth": 1}, "train": {"device": "cpu"}}
    assert TablePretrainer("tabular/vime", steps=2, sections=small).fit_transform(rows).shape == (60, 8)


CHECKS = """
from sklearn.utils.estimator_checks import check_estimator
from manyviews_tabular.sklearn import TablePretrainer

if __name__ == "__main__":
    sections = {"encoder": {"width": 8, "depth": 1, "heads": 2}, "train": {"device": "cpu"}}
    check_estimator(TablePretrainer(steps=2, batch_size=16, sections=sections), on_skip=None)
"""


@pytest.mark.slow
def test_scikit_learns_own_checks():
    """In a process of its own: they set parameters to values of wrong types, which the tests' type checker would refuse."""
    done = subprocess.run([sys.executable, "-c", CHECKS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
