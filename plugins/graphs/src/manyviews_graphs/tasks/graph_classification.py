"""Graph classification by the protocol that the literature reports: a kernel SVM in stratified ten-fold cross-validation.

InfoGraph, GraphCL and GraphMAE (Hou et al. 2022) embed all graphs, pretrained without labels on all of them, and report the
mean over the folds of the micro-averaged F1 of an RBF support vector classifier, whose C an inner grid search on the
fold's training graphs chooses. Papers repeat that over five seeds of pretraining.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import SVC

from manyviews.errors import DataError
from manyviews.evaluate.cut import check_varied, labels_of
from manyviews.evaluate.task import Embedded, Scores, Task, class_name, labelled
from manyviews.evaluate.threads import torch_threads

X = Float[np.ndarray, "graphs width"]
Y = Int[np.ndarray, "graphs"]


class GraphClassification(Task):
    """RBF SVM on all labelled graphs, whatever their split: mean and standard deviation over the folds of `micro_f1`.

    Of single labels micro-F1 is the accuracy. During training, test graphs are left out.

    Args:
        outer_folds: Of the cross-validation.
        inner_folds: Of the grid search for C, on the training graphs of a fold.
        c: Values of C to choose from.
        repeats: Cross-validations, each with its own shuffle; publications have one.
        seed: Of the first shuffle; the others count on from it.
    """

    needs_labels = True
    needs_classes = True
    every_unit = True
    better = {"micro_f1": "higher"}  # noqa: RUF012

    def __init__(
        self,
        *,
        outer_folds: Annotated[int, Field(ge=2)] = 10,
        inner_folds: Annotated[int, Field(ge=2)] = 5,
        c: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (1e-3, 1e-2, 1e-1, 1.0, 10.0),
        repeats: PositiveInt = 1,
        seed: NonNegativeInt = 0,
    ) -> None:
        self.outer_folds, self.inner_folds, self.c = outer_folds, inner_folds, c
        self.repeats, self.seed = repeats, seed

    def check(self, data: Embedded) -> None:
        self.rows(data)

    def rows(self, data: Embedded) -> Int[np.ndarray, "rows"]:
        """The labelled graphs. Two classes must be so frequent that each fold can be fitted on both."""
        labels = labels_of(data)
        if labels.kind != "classification":
            raise DataError(f"labels {labels.name!r} are numbers; `linear_probe` is the probe for these")
        rows = np.flatnonzero(labelled(labels))
        check_varied(labels, rows, "labelled")
        numbers, counts = np.unique(labels.values[rows], return_counts=True)
        second, needed = np.argsort(counts)[-2], max(self.outer_folds, 4)
        if counts[second] < needed:
            name = class_name(labels, int(numbers[second]))
            raise DataError(
                f"labels {labels.name!r}: class {name} has {counts[second]} labelled graphs; "
                f"{self.outer_folds} folds need {needed}\n"
                "give fewer `outer_folds`, or use `linear_probe`"
            )
        return rows

    def __call__(self, data: Embedded) -> Scores:
        rows = self.rows(data)
        x, y = data.x[rows].astype(np.float64), labels_of(data).values[rows]
        scores: list[float] = []
        with torch_threads():
            for repeat in range(self.repeats):
                outer = StratifiedKFold(self.outer_folds, shuffle=True, random_state=self.seed + repeat)
                scores += [self.fold(x, y, fit, report) for fit, report in splits(outer, x, y)]
        rarest = int(np.unique(y, return_counts=True)[1].min())
        rare = (f"a class has {rarest} graphs, fewer than the {self.outer_folds} folds: some folds report none of it",)
        return Scores(
            {"micro_f1": float(np.mean(scores))}, {"micro_f1": float(np.std(scores))}, rare * (rarest < self.outer_folds)
        )

    def fold(self, x: X, y: Y, fit: Int[np.ndarray, "fit"], report: Int[np.ndarray, "report"]) -> float:
        """Choose C on `fit`, fit on all of it, and report."""
        x_fit, y_fit = x[fit], y[fit]
        inner = [judge(x_fit, y_fit, a, b, self.c) for a, b in splits(StratifiedKFold(self.inner_folds), x_fit, y_fit)]
        best = self.c[int(np.mean(inner, axis=0).argmax())]
        return judge(x, y, fit, report, (best,))[0]


def judge(x: X, y: Y, fit: Int[np.ndarray, "fit"], report: Int[np.ndarray, "report"], c: Sequence[float]) -> list[float]:
    """Accuracy on `report` of the SVM fitted on `fit`, for each C. The kernel, which takes the time, is computed once.

    Its width is scikit-learn's `scale`: gamma = 1 / (width * variance of all entries fitted on).
    """
    variance = x[fit].var()
    gamma = 1 / (x.shape[1] * variance) if variance > 0 else 1.0
    among, across = rbf_kernel(x[fit], gamma=gamma), rbf_kernel(x[report], x[fit], gamma=gamma)
    models = (SVC(C=value, kernel="precomputed").fit(among, y[fit]) for value in c)
    return [float((model.predict(across) == y[report]).mean()) for model in models]


def splits(folds: StratifiedKFold, x: X, y: Y) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """scikit-learn's; the result's notes tell of classes rarer than the folds, its warnings need not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield from list(folds.split(x, y))
