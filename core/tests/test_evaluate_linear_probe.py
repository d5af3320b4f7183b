"""The linear probe against scikit-learn, and that nothing leaks from the reported split."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification, make_regression
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss, roc_auc_score
from sklearn.preprocessing import StandardScaler
from torch.testing import assert_close

from manyviews.errors import DataError, UserError
from manyviews.evaluate import basis
from manyviews.evaluate.linear import log_probabilities, logistic_path, ridge_path
from manyviews.evaluate.linear_probe import LinearProbe, draw_stratified
from manyviews.evaluate.task import Embedded
from manyviews.source import Labels

GRID = (1e3, 1e2, 10.0, 1.0, 0.1, 0.01)


def split_of(units: int) -> np.ndarray:
    return np.array(["train", "train", "train", "valid", "test"])[np.arange(units) % 5]


def classification_data(classes: int, units: int = 600, width: int = 20, seed: int = 0) -> Embedded:
    x, y = make_classification(
        units, width, n_informative=8, n_redundant=4, n_classes=classes, class_sep=0.8, flip_y=0.1, random_state=seed
    )
    x = x * np.logspace(0, 3, width) + 5
    return Embedded(x.astype(np.float32), split_of(units), Labels("y", "classification", y.astype(np.int64)))


def regression_data(units: int = 300, width: int = 20) -> Embedded:
    x, y = make_regression(units, width, n_informative=10, noise=40, random_state=0)
    x = x * np.logspace(0, 2, width) + 3
    return Embedded(x.astype(np.float32), split_of(units), Labels("y", "regression", y + 100))


def parts_of(data: Embedded) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    assert data.labels is not None
    return tuple(
        (data.x[data.splits == split].astype(np.float64), data.labels.values[data.splits == split])
        for split in ("train", "valid", "test")
    )


def longhand_logistic(data: Embedded) -> dict[str, float]:
    """scikit-learn, the penalty by the lowest validation log loss of the whole grid."""
    (x, y), (x_valid, y_valid), (x_test, y_test) = parts_of(data)
    scaler = StandardScaler().fit(x)
    models = [LogisticRegression(C=1 / l2, tol=1e-8, max_iter=10_000).fit(scaler.transform(x), y) for l2 in GRID]
    model = min(models, key=lambda model: log_loss(y_valid, model.predict_proba(scaler.transform(x_valid))))
    p, guess = model.predict_proba(scaler.transform(x_test)), model.predict(scaler.transform(x_test))
    auc = roc_auc_score(y_test, p[:, 1]) if p.shape[1] == 2 else roc_auc_score(y_test, p, multi_class="ovr")
    return {
        "accuracy": float((guess == y_test).mean()),
        "balanced_accuracy": balanced_accuracy_score(y_test, guess),
        "macro_f1": f1_score(y_test, guess, average="macro"),
        "auc": auc,
    }


@pytest.mark.parametrize("classes", [2, 4])
def test_classification_agrees_with_scikit_learn(classes: int) -> None:
    data = classification_data(classes)
    scores = LinearProbe(l2=GRID)(data)
    assert scores.notes == ()
    assert_close(dict(scores.metrics), longhand_logistic(data), atol=1e-3, rtol=0)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("width", [12, 90])  # fewer and more features than units
@pytest.mark.parametrize("largest", [4096, 4])  # in principal axes and, too large to factorise, in the features' own
def test_logistic_regression_reaches_the_optimum(
    monkeypatch: pytest.MonkeyPatch, classes: int, width: int, largest: int
) -> None:
    monkeypatch.setattr(basis, "LARGEST", largest)
    x, y = make_classification(60, width, n_informative=6, n_classes=classes, random_state=1)
    x = ((x - x.mean(0)) / x.std(0)).astype(np.float32)
    models = list(logistic_path(torch.from_numpy(x), torch.from_numpy(y), classes, (10.0, 0.1), 1000))
    for model in models:
        reference = LogisticRegression(C=1 / model.l2, tol=1e-10, max_iter=50_000).fit(x, y)
        probabilities = log_probabilities(model(torch.from_numpy(x))).exp()
        assert model.converged
        assert_close(probabilities.double(), torch.from_numpy(reference.predict_proba(x)).double(), atol=2e-3, rtol=0)


@pytest.mark.parametrize("width", [12, 90])
@pytest.mark.parametrize("largest", [4096, 4])
def test_ridge_regression_agrees_with_scikit_learn(monkeypatch: pytest.MonkeyPatch, width: int, largest: int) -> None:
    monkeypatch.setattr(basis, "LARGEST", largest)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, width)).astype(np.float32)
    x -= x.mean(0)
    y = x @ rng.normal(size=width) + rng.normal(size=60) + 7
    for model in ridge_path(torch.from_numpy(x), torch.from_numpy(y), (10.0, 0.1)):
        reference = Ridge(model.l2, solver="svd").fit(x.astype(np.float64), y)
        assert_close(model.weight[:, 0].numpy(), reference.coef_.astype(np.float32), atol=1e-3, rtol=1e-3)
        assert_close(model.bias.item(), float(reference.intercept_), atol=1e-3, rtol=0)


def test_regression_agrees_with_a_longhand_choice() -> None:
    data = regression_data()
    (x, y), (x_valid, y_valid), (x_test, y_test) = parts_of(data)
    scaler = StandardScaler().fit(x)
    models = [Ridge(l2).fit(scaler.transform(x), y) for l2 in GRID]
    model = min(models, key=lambda model: np.square(model.predict(scaler.transform(x_valid)) - y_valid).mean())
    error = y_test - model.predict(scaler.transform(x_test))
    expected = {
        "r2": 1 - np.square(error).sum() / np.square(y_test - y_test.mean()).sum(),
        "rmse": np.sqrt(np.square(error).mean()),
        "mae": np.abs(error).mean(),
    }
    assert_close(dict(LinearProbe(l2=GRID)(data).metrics), expected, atol=0, rtol=1e-4)


def test_the_reported_units_have_no_say_in_the_fit() -> None:
    """Poisoned test units: models, choice and statistics of standardisation stay as they were."""
    data = classification_data(3)
    poisoned = Embedded(data.x.copy(), data.splits, data.labels)
    rng = np.random.default_rng(0)
    test = data.splits == "test"
    poisoned.x[test] = 1e6 * rng.normal(size=poisoned.x[test].shape)
    seen: list[list[torch.Tensor]] = []

    class Recording(LinearProbe):
        def classification(self, *arguments):  # type: ignore[no-untyped-def]
            model = super().classification(*arguments)
            seen.append([model.weight, model.bias, torch.tensor(model.l2)])
            return model

    clean, dirty = Recording()(data), Recording()(poisoned)
    assert_close(seen[0], seen[1], rtol=0, atol=0)
    assert clean.metrics["accuracy"] > dirty.metrics["accuracy"] + 0.1


def test_shuffled_labels_are_at_chance() -> None:
    data = classification_data(2, units=3000)
    assert data.labels is not None
    shuffled = Labels("y", "classification", np.random.default_rng(0).permutation(data.labels.values))
    metrics = LinearProbe()(Embedded(data.x, data.splits, shuffled)).metrics
    assert abs(metrics["auc"] - 0.5) < 0.06
    assert abs(metrics["balanced_accuracy"] - 0.5) < 0.06


def test_unlabelled_units_are_left_out() -> None:
    data = classification_data(3)
    assert data.labels is not None
    labels = Labels("y", "classification", np.where(np.arange(600) % 2 == 0, data.labels.values, -1))
    x = data.x.copy()
    x[1::2] = np.nan  # would spread into every number if it were read
    half = Embedded(data.x[::2], data.splits[::2], Labels("y", "classification", data.labels.values[::2]))
    assert_close(dict(LinearProbe()(Embedded(x, data.splits, labels)).metrics), dict(LinearProbe()(half).metrics))


def test_a_scale_of_the_features_shows_without_standardisation_only() -> None:
    data = classification_data(2)
    small = Embedded(data.x * np.float32(1e-6), data.splits, data.labels)
    on, off = LinearProbe(l2=(1.0,)), LinearProbe(l2=(1.0,), standardize=False)
    assert_close(dict(on(data).metrics), dict(on(small).metrics), atol=2e-3, rtol=0)
    assert off(data).metrics["auc"] > off(small).metrics["auc"] + 0.02


def test_rounding_of_a_collapsed_embedding_is_not_blown_up() -> None:
    """All units on one point but for float32 rounding that tells the class: nothing is read from it."""
    data = classification_data(2)
    assert data.labels is not None
    x = np.full((600, 4), 3.0, dtype=np.float32)
    x[data.labels.values == 1] = np.nextafter(np.float32(3), np.float32(4))
    metrics = LinearProbe()(Embedded(x, data.splits, data.labels)).metrics
    assert_close(metrics["balanced_accuracy"], 0.5)


def test_an_embedding_of_zeros_gives_the_larger_class() -> None:
    data = classification_data(2)
    metrics = LinearProbe()(Embedded(np.zeros((600, 4), np.float32), data.splits, data.labels)).metrics
    assert_close((metrics["auc"], metrics["balanced_accuracy"]), (0.5, 0.5))


def test_few_labels_repeat_the_draw() -> None:
    data = classification_data(3)
    scores = LinearProbe(labels=30, draws=4)(data)
    single = [LinearProbe(labels=30, draw=draw)(data).metrics["accuracy"] for draw in range(4)]
    assert_close(scores.metrics["accuracy"], float(np.mean(single)))
    assert_close(scores.std["accuracy"], float(np.std(single, ddof=1)))
    assert scores.flat()["accuracy_std"] == scores.std["accuracy"]
    assert len(set(single)) > 1


def test_drawn_labels_are_stratified_and_hold_each_class() -> None:
    labels = Labels("y", "classification", np.repeat([0, 1, 2], [700, 290, 10]))
    drawn = draw_stratified(labels, np.arange(1000), 100, 0)
    counts = np.bincount(labels.values[drawn])
    assert_close(counts, np.array([70, 29, 1]), atol=1, rtol=0)
    assert len(np.unique(drawn)) == 100
    few = draw_stratified(labels, np.arange(1000), 3, 0)
    assert sorted(labels.values[few]) == [0, 1, 2]
    assert not np.array_equal(drawn, draw_stratified(labels, np.arange(1000), 100, 1))


def test_a_probe_that_has_not_converged_says_so() -> None:
    notes = LinearProbe(iterations=1, l2=(0.01,))(classification_data(3)).notes
    assert any("had not converged after 1 iterations" in note for note in notes)


def test_a_class_met_only_in_the_reported_units_counts_as_an_error_and_is_named() -> None:
    data = classification_data(2)
    assert data.labels is not None
    values = data.labels.values.copy()
    values[4::10] = 2  # test units only
    scores = LinearProbe()(Embedded(data.x, data.splits, Labels("y", "classification", values, ("a", "b", "rare"))))
    assert scores.metrics["accuracy"] <= 0.5
    assert any("'rare'" in note for note in scores.notes)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"labels": 5000}, "5000 labelled training units asked for, there are 360"),
        ({"labels": 2}, "fewer than the 3 classes"),
    ],
)
def test_draws_that_cannot_be_made(parameters: dict[str, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        LinearProbe(**parameters)(classification_data(3))


def test_draws_without_labels_are_refused() -> None:
    with pytest.raises(UserError, match="draws=3 repeats"):
        LinearProbe(draws=3)


def test_threads_and_generators_are_left_alone() -> None:
    before, state = torch.get_num_threads(), torch.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()
    LinearProbe(labels=50, draws=2)(classification_data(2))
    assert torch.get_num_threads() == before
    assert_close(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
