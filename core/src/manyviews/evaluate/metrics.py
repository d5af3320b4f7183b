"""What probes report."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int
from sklearn import metrics as sk

from manyviews.evaluate.task import Better
from manyviews.source import Labels

BETTER: Mapping[str, Better] = {
    "accuracy": "higher",
    "balanced_accuracy": "higher",
    "macro_f1": "higher",
    "auc": "higher",
    "r2": "higher",
    "rmse": "lower",
    "mae": "lower",
}


def classification(
    labels: Labels, rows: Int[np.ndarray, "rows"], probabilities: Float[np.ndarray, "rows classes"]
) -> dict[str, float]:
    """Accuracy, balanced accuracy, macro F1 and AUC (binary, or one-vs-rest averaged over the classes in `rows`).

    Of a single class in `rows` there is no AUC.
    """
    truth = labels.values[rows]
    present = np.unique(truth)
    guess = probabilities.argmax(1)
    asked = [1] if probabilities.shape[1] == 2 else present
    ranked = (
        [float(sk.roc_auc_score(truth == number, probabilities[:, number])) for number in asked] if len(present) > 1 else []
    )
    return {
        "accuracy": float(sk.accuracy_score(truth, guess)),
        "balanced_accuracy": float(sk.recall_score(truth, guess, labels=present, average="macro", zero_division=0)),
        "macro_f1": float(sk.f1_score(truth, guess, labels=present, average="macro", zero_division=0)),
        **({"auc": float(np.mean(ranked))} if ranked else {}),
    }


def regression(labels: Labels, rows: Int[np.ndarray, "rows"], guess: Float[np.ndarray, "rows"]) -> dict[str, float]:
    """R², root mean squared error and mean absolute error, the last two in the target's unit; it varies in `rows`."""
    truth = labels.values[rows]
    return {
        "r2": float(sk.r2_score(truth, guess)),
        "rmse": float(sk.root_mean_squared_error(truth, guess)),
        "mae": float(sk.mean_absolute_error(truth, guess)),
    }


def class_count(labels: Labels) -> int:
    """Number of classes, named or met."""
    return max(len(labels.classes), int(labels.values.max()) + 1)
