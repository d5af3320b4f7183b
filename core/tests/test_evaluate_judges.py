"""Ridge, prototypes, few-shot, retrieval, separability and transferability against their definitions, written out longhand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import digamma
from sklearn.linear_model import Ridge as SklearnRidge

from manyviews.errors import DataError
from manyviews.evaluate.prototypes import FewShot, Prototypes
from manyviews.evaluate.retrieval import Retrieval
from manyviews.evaluate.ridge import Ridge
from manyviews.evaluate.separability import Separability, scatters
from manyviews.evaluate.task import Embedded, Task
from manyviews.evaluate.transferability import Transferability, entropy, logme, tmi
from manyviews.source import Labels

RNG = np.random.default_rng(0)
Y = np.arange(90) % 3
X = (RNG.normal(size=(90, 5)) + 1.5 * np.eye(5)[Y]).astype(np.float32)
SPLITS = np.array(["train"] * 50 + ["valid"] * 20 + ["test"] * 20)


def embedded(x: np.ndarray = X, y: np.ndarray = Y) -> Embedded:
    kind = "regression" if y.dtype == np.float64 else "classification"
    return Embedded(x.astype(np.float32), SPLITS, Labels("y", kind, y.copy()))  # type: ignore[arg-type]


@pytest.mark.parametrize("task", [Prototypes(), FewShot(episodes=2), Retrieval(), Separability()])
def test_numbers_are_refused_by_who_needs_classes(task: Task) -> None:
    with pytest.raises(DataError, match="are numbers"):
        task.check(embedded(y=X[:, 0].astype(np.float64)))


def test_ridge_equals_scikit_learns_with_the_penalty_that_is_best_on_valid() -> None:
    train, valid, test = (np.flatnonzero(split == SPLITS) for split in ("train", "valid", "test"))
    x = X.astype(np.float64)
    x = (x - x[train].mean(0)) / x[train].std(0)
    y = np.eye(3)[Y]
    models = [SklearnRidge(alpha).fit(x[train], y[train]) for alpha in (100.0, 1.0)]
    best = min(models, key=lambda model: np.square(model.predict(x[valid]) - y[valid]).mean())
    expected = (best.predict(x[test]).argmax(1) == Y[test]).mean()
    assert Ridge(l2=(100.0, 1.0))(embedded()).metrics["accuracy"] == pytest.approx(expected)


def test_ridge_regresses_numbers() -> None:
    y = X.astype(np.float64) @ np.arange(1.0, 6.0)
    assert Ridge()(embedded(y=y)).metrics["r2"] > 0.999


def test_prototypes_are_the_nearest_means_of_centred_unit_vectors() -> None:
    train, test = np.flatnonzero(SPLITS == "train"), np.flatnonzero(SPLITS == "test")
    x = X.astype(np.float64) - X[train].astype(np.float64).mean(0)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    means = np.stack([x[train][Y[train] == c].mean(0) for c in range(3)])
    guess = np.square(x[test][:, None] - means).sum(2).argmin(1)
    assert Prototypes()(embedded()).metrics["accuracy"] == pytest.approx((guess == Y[test]).mean())


def test_few_shots_grow_better_and_repeat() -> None:
    scores = FewShot(episodes=10)(embedded())
    assert scores.metrics["accuracy_1_shot"] < scores.metrics["accuracy_10_shot"]
    assert scores.std["accuracy_1_shot"] > 0
    assert FewShot(episodes=10)(embedded()) == scores


def test_few_shots_draw_so_many_of_each_class_and_no_reported_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[np.ndarray] = []
    judged = FewShot.judged

    def spy(self: FewShot, data: Embedded, fit: np.ndarray, report: np.ndarray) -> dict[str, float]:
        seen.append(fit)
        assert set(SPLITS[report]) == {"test"}
        return judged(self, data, fit, report)

    monkeypatch.setattr(FewShot, "judged", spy)
    FewShot(shots=(1, 5), episodes=3)(embedded())
    assert [np.bincount(Y[fit]).tolist() for fit in seen] == [[1, 1, 1], [5, 5, 5]] * 3
    assert all(set(SPLITS[fit]) == {"train"} for fit in seen)
    assert set(seen[0]) < set(seen[1])


def test_transduction_helps_where_classes_are_clusters() -> None:
    x = (0.7 * RNG.normal(size=(90, 5)) + 3 * np.eye(5)[Y]).astype(np.float32)
    plain, moved = (FewShot(shots=(1,), episodes=20, transductive=t)(embedded(x)).metrics for t in (False, True))
    assert moved["accuracy_1_shot"] > plain["accuracy_1_shot"]


def test_more_shots_than_a_class_has_are_left_out_and_said() -> None:
    y = Y.copy()
    y[:50][y[:50] == 2] = 1
    y[[2, 5, 8]] = 2
    scores = FewShot(episodes=2)(embedded(y=y))
    assert set(scores.metrics) == {"accuracy_1_shot"}
    assert any("no 5 or 10 shots" in note for note in scores.notes)
    with pytest.raises(DataError, match="fewer than 5 shots"):
        FewShot(shots=(5,)).check(embedded(y=y))


def longhand_precision(query: np.ndarray, gallery: np.ndarray, same: np.ndarray) -> tuple[float, int]:
    cosine = gallery @ query / np.linalg.norm(gallery, axis=1) / np.linalg.norm(query)
    hits, found, first = 0, [], -1
    for place, number in enumerate(np.argsort(-cosine), 1):
        if same[number]:
            hits += 1
            found.append(hits / place)
            first = place if first < 0 else first
    return sum(found) / len(found), first


@pytest.mark.parametrize("among", ["train", "report"])
def test_retrieval_equals_the_longhand_ranking(among: str) -> None:
    test, x = np.flatnonzero(SPLITS == "test"), X.astype(np.float64)
    found = []
    for query in test:
        gallery = np.flatnonzero(SPLITS == "train") if among == "train" else test[test != query]
        found.append(longhand_precision(x[query], x[gallery], Y[gallery] == Y[query]))
    scores = Retrieval(k=(1, 3), among=among)(embedded())  # type: ignore[arg-type]
    assert scores.metrics["map"] == pytest.approx(np.mean([precision for precision, _ in found]))
    assert scores.metrics["recall_at_1"] == pytest.approx(np.mean([first <= 1 for _, first in found]))
    assert scores.metrics["recall_at_3"] == pytest.approx(np.mean([first <= 3 for _, first in found]))


def test_retrieval_leaves_out_what_cannot_be_found() -> None:
    y = Y.copy()
    y[-1] = 7
    assert "1 reported units" in Retrieval()(embedded(y=y)).notes[-1]


def test_scatters_add_up_to_the_covariance() -> None:
    inside, between = scatters(X.astype(np.float64), Y)
    np.testing.assert_allclose(inside + between, np.cov(X.astype(np.float64).T, bias=True))


def test_separability_rises_with_the_distance_of_the_classes() -> None:
    near, far = (Separability()(embedded(X + d * np.eye(5)[Y])).metrics for d in (0.0, 6.0))
    assert far["silhouette"] > near["silhouette"]
    assert far["fisher"] > near["fisher"]
    assert far["nc1"] < near["nc1"]


def test_separability_of_a_collapsed_embedding() -> None:
    scores = Separability()(embedded(np.ones_like(X)))
    assert scores.metrics["silhouette"] == 0
    assert np.isfinite(list(scores.metrics.values())).all()


def longhand_logme(x: np.ndarray, y: np.ndarray) -> float:
    """The evidence maximised over a grid of the two precisions, by its definition: log N(y; 0, I/β + x xᵀ/α)."""
    best = -np.inf
    for alpha in np.geomspace(1e-3, 1e4, 120):
        for beta in np.geomspace(1e-2, 1e3, 120):
            cov = np.eye(len(y)) / beta + x @ x.T / alpha
            _, logdet = np.linalg.slogdet(cov)
            value = -0.5 * (len(y) * math.log(2 * math.pi) + logdet + y @ np.linalg.solve(cov, y))
            best = max(best, value)
    return best / len(y)


def test_logme_is_the_largest_evidence() -> None:
    x = RNG.normal(size=(24, 3))
    y = x @ np.array([1.0, -2.0, 0.5]) + 0.3 * RNG.normal(size=24)
    expected = longhand_logme(x, y)
    assert logme(x, y[:, None]) == pytest.approx(expected, abs=2e-3)
    assert logme(x, y[:, None]) >= expected - 1e-9


def test_logme_of_more_features_than_units_and_of_dead_ones() -> None:
    x = RNG.normal(size=(20, 6))
    y = x[:, :1] + 0.5 * RNG.normal(size=(20, 1))
    wide = np.concatenate([x, np.zeros((20, 30))], axis=1)
    assert logme(wide, y) == pytest.approx(logme(x, y), abs=1e-6)
    assert np.isfinite(logme(RNG.normal(size=(20, 50)), y))


def test_entropy_and_tmi_equal_the_longhand_estimate() -> None:
    x = RNG.normal(size=(40, 2))
    y = np.arange(40) % 2

    def longhand(part: np.ndarray) -> float:
        total = 0.0
        for one in part:
            distances = sorted(np.abs(part - one).max(1))
            total += math.log(2 * max(distances[3], 1e-9))
        return digamma(len(part)) - digamma(3) + 2 * total / len(part)

    assert entropy(x, 3, 1e-9) == pytest.approx(longhand(x))
    assert tmi(x, y, 3, 1e-9) == pytest.approx(0.5 * longhand(x[y == 0]) + 0.5 * longhand(x[y == 1]))


def test_entropy_of_a_normal_distribution_is_near_its_own() -> None:
    x = np.random.default_rng(1).normal(size=(4000, 2))
    assert entropy(x, 3, 1e-9) == pytest.approx(math.log(2 * math.pi * math.e), abs=0.06)


def test_transferability_prefers_the_features_that_tell() -> None:
    told, noise = Transferability()(embedded()), Transferability()(embedded(RNG.normal(size=X.shape)))
    assert told.metrics["logme"] > noise.metrics["logme"]
    assert Transferability()(embedded(100 * X)).metrics["tmi"] == pytest.approx(told.metrics["tmi"], abs=1e-3)
    assert set(Transferability()(embedded(y=X[:, 0].astype(np.float64))).metrics) == {"logme"}
