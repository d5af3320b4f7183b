"""Verification: how alike pairs are, and the rates of error."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from torch.testing import assert_close

from manyviews.errors import DataError
from manyviews.evaluate.task import Embedded
from manyviews.evaluate.verification import Verification, equal_error_rate, least_cost
from manyviews.source import Pairs


def speakers() -> Embedded:
    """Recordings of six speakers, of any loudness, in pairs."""
    random = np.random.default_rng(0)
    who = random.integers(6, size=100)
    voice = random.normal(size=(6, 8))[who] + 0.7 * random.normal(size=(100, 8))
    left, right = random.integers(100, size=(2, 600))
    pairs = Pairs("speakers", left, right, who[left] == who[right], random.choice(["train", "valid", "test"], 600))
    loud = random.uniform(0.1, 10, (100, 1))
    return Embedded((voice * loud).astype(np.float32), np.full(100, "train"), pairs=pairs)


def test_cosine_of_the_test_pairs() -> None:
    data = speakers()
    assert data.pairs is not None
    test = data.pairs.splits == "test"
    unit = data.x / np.linalg.norm(data.x, axis=1, keepdims=True)
    value = (unit[data.pairs.left[test]] * unit[data.pairs.right[test]]).sum(1)
    scores = Verification()(data).metrics
    assert_close(scores["auc"], float(roc_auc_score(data.pairs.same[test], value)))
    assert scores["auc"] > Verification(score="dot")(data).metrics["auc"], "loudness says nothing of the speaker"
    assert scores["eer"] < 0.3 < scores["average_precision"]


def test_equal_error_rate_longhand() -> None:
    same, score = np.array([1, 1, 1, 1, 0, 0, 0, 0], bool), np.array([8, 7, 6, 3, 5, 4, 2, 1.0])
    assert_close(equal_error_rate(same, score), 0.25)  # at a threshold of 4.5 one of four is missed, one of four accepted
    assert_close(equal_error_rate(same, same.astype(float)), 0.0)
    assert_close(equal_error_rate(same, -same.astype(float)), 1.0)
    # between missing 1 of 3 and accepting 0 of 2, and missing none and accepting 1 of 2
    assert_close(equal_error_rate(np.array([1, 1, 1, 0, 0], bool), np.array([5, 4, 2, 3, 1.0])), 1 / 3)


def test_least_detection_cost_longhand() -> None:
    same, score = np.array([1, 1, 1, 1, 0, 0, 0, 0], bool), np.array([8, 7, 6, 3, 5, 4, 2, 1.0])
    costs = []
    for threshold in np.append(score, 9.0):
        miss, accept = (score[same] < threshold).mean(), (score[~same] >= threshold).mean()
        costs.append(0.3 * miss + 0.7 * accept)
    assert_close(least_cost(same, score, 0.3), float(min(costs) / 0.3))
    assert_close(least_cost(same, score, 0.01), 0.25)  # accepting nothing wrong: one of four missed
    assert_close(least_cost(same, -score, 0.01), 1.0)  # no threshold beats refusing all
    assert_close(least_cost(same, same.astype(float), 0.01), 0.0)


def test_pairs_on_the_validation_split_where_there_is_no_test_split() -> None:
    data = speakers()
    assert data.pairs is not None
    valid = data.pairs.splits == "valid"
    kept = Pairs(
        "speakers",
        data.pairs.left[valid],
        data.pairs.right[valid],
        data.pairs.same[valid],
        np.full(valid.sum(), "test"),
    )
    without = replace(data, pairs=replace(data.pairs, splits=np.where(data.pairs.splits == "test", "", data.pairs.splits)))
    assert_close(dict(Verification()(without).metrics), dict(Verification()(replace(data, pairs=kept)).metrics))


def test_a_fitted_score_says_which_pairs_it_lacks() -> None:
    data = speakers()
    assert data.pairs is not None
    with pytest.raises(DataError, match="0 labelled training units"):
        Verification(score="hadamard").check(replace(data, pairs=replace(data.pairs, splits=np.full(600, "test"))))
    with pytest.raises(DataError, match="this task needs pairs, and the source has none"):
        Verification().check(replace(data, pairs=None))
