"""k nearest neighbours against scikit-learn's brute force."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from torch.testing import assert_close

from manyviews.errors import DataError
from manyviews.evaluate import knn as module
from manyviews.evaluate.knn import KNN
from manyviews.evaluate.task import Embedded
from manyviews.source import Labels


def embedded(labels: Labels, x: np.ndarray) -> Embedded:
    return Embedded(x.astype(np.float32), np.array(["train"] * 200 + ["test"] * 100), labels)


def points(classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    x, y = make_classification(300, 10, n_informative=6, n_classes=classes, random_state=0)
    return x, y.astype(np.int64)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("classes", [2, 3])
def test_classification_agrees_with_scikit_learn(monkeypatch: pytest.MonkeyPatch, weighted: bool, classes: int) -> None:
    monkeypatch.setattr(module, "CHUNK", 33)
    x, y = points(classes)
    weights = (lambda distance: np.exp((1 - distance) / 0.1)) if weighted else "uniform"
    model = KNeighborsClassifier(7, metric="cosine", algorithm="brute", weights=weights).fit(x[:200], y[:200])
    scores = KNN(k=7, weighted=weighted, temperature=0.1)(embedded(Labels("y", "classification", y), x))
    assert_close(scores.metrics["accuracy"], float((model.predict(x[200:]) == y[200:]).mean()))


def test_regression_agrees_with_scikit_learn() -> None:
    x, _ = points()
    y = x[:, 0] + 10
    weights = lambda distance: np.exp((1 - distance) / 0.07)  # noqa: E731
    model = KNeighborsRegressor(5, metric="cosine", algorithm="brute", weights=weights).fit(x[:200], y[:200])
    scores = KNN(k=5)(embedded(Labels("y", "regression", y), x))
    error = model.predict(x[200:]) - y[200:]
    assert_close(scores.metrics["rmse"], float(np.sqrt(np.square(error).mean())), rtol=1e-4, atol=0)


def test_only_directions_count() -> None:
    x, y = points()
    scale = np.random.default_rng(0).uniform(0.1, 10, (300, 1))
    labels = Labels("y", "classification", y)
    assert_close(dict(KNN()(embedded(labels, x)).metrics), dict(KNN()(embedded(labels, x * scale)).metrics))


def test_more_neighbours_than_units_is_refused() -> None:
    x, y = points()
    with pytest.raises(DataError, match="k=500 neighbours asked for, there are 200"):
        KNN(k=500)(embedded(Labels("y", "classification", y), x))


def test_reported_units_of_one_class_are_refused() -> None:
    x, y = points()
    y[200:] = 1
    with pytest.raises(DataError, match="the 100 reported units are all of class 1"):
        KNN()(embedded(Labels("y", "classification", y), x))
