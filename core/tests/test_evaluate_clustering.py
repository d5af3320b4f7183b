"""Clustering against its definitions written out."""

from __future__ import annotations

from itertools import combinations, permutations

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from torch.testing import assert_close

from manyviews.errors import DataError
from manyviews.evaluate.clustering import Clustering, matched_accuracy
from manyviews.evaluate.task import Embedded, Scores
from manyviews.source import Labels


def embedded(x: np.ndarray, y: np.ndarray, kind: str = "classification") -> Embedded:
    return Embedded(x.astype(np.float32), np.full(len(x), ""), Labels("y", kind, y))  # type: ignore[arg-type]


def blobs(spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    x, y = make_blobs(150, 5, centers=4, cluster_std=spread, random_state=0)
    return x, y.astype(np.int64)


def test_separate_classes_are_found_whatever_their_numbers() -> None:
    x, y = blobs(0.1)
    y = np.array([7, 2, 9, 0])[y]
    scores = Clustering(seeds=3, starts=5)(embedded(x, y))
    assert_close(dict(scores.metrics), {"nmi": 1.0, "ari": 1.0, "accuracy": 1.0})
    assert_close(dict(scores.std), {"nmi": 0.0, "ari": 0.0, "accuracy": 0.0})


def test_scores_are_those_of_their_definitions() -> None:
    x, y = blobs(4.0)
    task = Clustering(seeds=1, seed=3)
    scores = task(embedded(x, y)).metrics
    from sklearn.cluster import KMeans

    guess = KMeans(4, n_init=1, random_state=3).fit_predict(x.astype(np.float32).astype(np.float64))
    joint = np.array([[np.mean((y == a) & (guess == b)) for b in range(4)] for a in range(4)])
    rows, columns = joint.sum(1), joint.sum(0)
    entropy = [-np.sum(p[p > 0] * np.log(p[p > 0])) for p in (rows, columns)]
    apart = joint > 0
    mutual = np.sum(joint[apart] * np.log(joint[apart] / np.outer(rows, columns)[apart]))
    assert_close(scores["nmi"], mutual / np.mean(entropy))

    pairs = list(combinations(range(len(y)), 2))
    in_one_class, in_one_cluster = np.array([(y[i] == y[j], guess[i] == guess[j]) for i, j in pairs]).T
    both, in_class, in_cluster = (in_one_class & in_one_cluster).sum(), in_one_class.sum(), in_one_cluster.sum()
    expected = in_class * in_cluster / len(pairs)
    assert_close(scores["ari"], (both - expected) / ((in_class + in_cluster) / 2 - expected))

    best = max(np.mean(np.array(order)[guess] == y) for order in permutations(range(4)))
    assert_close(scores["accuracy"], best)


def test_more_clusters_than_classes_are_matched_one_to_one() -> None:
    classes, clusters = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 2, 2, 1])
    assert_close(matched_accuracy(classes, clusters), 4 / 6)


def test_a_collapsed_embedding_scores_as_chance() -> None:
    _, y = blobs()
    scores = Clustering()(embedded(np.ones((150, 5)), y)).metrics
    assert_close(dict(scores), {"nmi": 0.0, "ari": 0.0, "accuracy": max(np.bincount(y)) / 150})


def test_directions_alone_count_where_asked() -> None:
    x, y = blobs(0.3)
    scale = np.random.default_rng(0).uniform(0.1, 10, (150, 1))
    task = Clustering(unit_length=True, seeds=2)
    assert_close(dict(task(embedded(x, y)).metrics), dict(task(embedded(x * scale, y)).metrics))


def test_unlabelled_units_are_left_out() -> None:
    x, y = blobs(0.1)
    y[:5], x[:5] = -1, 1e6
    assert Clustering(starts=5)(embedded(x, y)).metrics["ari"] == 1


def test_numbers_and_a_single_class_are_refused() -> None:
    x, y = blobs()
    with pytest.raises(DataError, match="labels 'y' are numbers, and clusters are compared with classes"):
        Clustering().check(embedded(x, x[:, 0], "regression"))
    with pytest.raises(DataError, match="the 150 labelled units are all of class 0"):
        Clustering().check(embedded(x, 0 * y))
    with pytest.raises(DataError, match="none of the 150 units is labelled"):
        Clustering().check(embedded(x, 0 * y - 1))


def test_runs_that_agree_have_no_spread_by_rounding() -> None:
    assert Scores.over([{"accuracy": 0.831}] * 3).std == {"accuracy": 0.0}
    assert Scores.over([{"accuracy": 0.831}]).std == {}
    assert_close(Scores.over([{"accuracy": 0.5}, {"accuracy": 0.7}]).std["accuracy"], 0.1 * 2**0.5)
