"""Linear probe: how much of a label can be read off an embedding linearly.

Alain & Bengio 2016 (arXiv 1610.01644). The probe alone can move a result by several points on the same embedding, so
everything about it is fixed here: features standardised on the fitted units, penalty chosen on the validation split,
never on the split that is reported, and fitted to convergence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from manyviews.errors import DataError, UserError
from manyviews.evaluate import metrics
from manyviews.evaluate.cut import Cut, check_varied, cut, labels_of
from manyviews.evaluate.linear import Linear, log_probabilities, logistic_path, ridge_path
from manyviews.evaluate.standardize import Standardizer
from manyviews.evaluate.stratify import stratified_order
from manyviews.evaluate.task import Embedded, Scores, Task, class_name
from manyviews.evaluate.threads import torch_threads
from manyviews.source import Labels

PATIENCE = 2
"""Penalties in a row that may be worse on the validation split before weaker ones are no longer tried."""


class LinearProbe(Task):
    """Logistic regression (L-BFGS) on classes, ridge regression on numbers.

    Reports accuracy, balanced accuracy, macro F1 and AUC, or R², RMSE and MAE: on the test split, or on the validation
    split where there is no test split. The penalty is the one with the lowest log loss (squared error) on the
    validation split, or on units cut from the training split where the validation split is reported.

    Args:
        standardize: Scale each feature to unit variance on the fitted units. A collapsed embedding can score well so;
            without it features keep the scale that the encoder gave them.
        labels: Fit on so many labelled training units, drawn stratified by class; null: on all.
        draws: Repeat the draw so many times and report mean and standard deviation.
        draw: Seed of the first draw; the others count on from it.
        l2: Penalties to choose from, l2/2 ‖W‖² beside the summed loss (scikit-learn's 1/C and alpha).
        iterations: L-BFGS iterations at most for one penalty; the result says so where that was too few.
    """

    needs_labels = True
    better = metrics.BETTER

    def __init__(
        self,
        *,
        standardize: bool = True,
        labels: PositiveInt | None = None,
        draws: PositiveInt = 1,
        draw: NonNegativeInt = 0,
        l2: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (1e4, 1e3, 1e2, 10.0, 1.0, 0.1, 0.01),
        iterations: PositiveInt = 1000,
    ) -> None:
        if draws > 1 and labels is None:
            raise UserError(
                f"draws={draws} repeats the draw of labelled units, and all are used: give `labels`, how many to draw"
            )
        self.standardize, self.labels, self.draws, self.draw = standardize, labels, draws, draw
        self.l2, self.iterations = tuple(sorted(l2, reverse=True)), iterations

    def check(self, data: Embedded) -> None:
        self.fits(labels_of(data), cut(data, choosing=True).fit)

    def __call__(self, data: Embedded) -> Scores:
        parts = cut(data, choosing=True)
        with torch_threads():
            results = [self.score(data, parts, fit) for fit in self.fits(labels_of(data), parts.fit)]
        notes = dict.fromkeys(note for result in results for note in result.notes)
        return Scores.over([result.metrics for result in results], (*parts.notes, *notes))

    def fits(self, labels: Labels, rows: Int[np.ndarray, "rows"]) -> list[Int[np.ndarray, "fit"]]:
        """The units to fit on, one set for each draw."""
        if self.labels is None:
            return [rows]
        return [draw_stratified(labels, rows, self.labels, self.draw + repeat) for repeat in range(self.draws)]

    def score(self, data: Embedded, parts: Cut, fit: Int[np.ndarray, "fit"]) -> Scores:
        """Fit on `fit`, choose on `parts.choose`, report on `parts.report`."""
        labels = labels_of(data)
        check_varied(labels, fit, "drawn training")
        x = torch.from_numpy(np.ascontiguousarray(data.x, dtype=np.float32))
        standardizer = Standardizer.fit(x[fit], self.standardize)
        fitted, chosen, reported = (standardizer(x[rows]) for rows in (fit, parts.choose, parts.report))
        if labels.kind == "regression":
            model = self.regression(fitted, labels.values[fit], chosen, labels.values[parts.choose])
            return Scores(metrics.regression(labels, parts.report, model(reported).squeeze(1).double().numpy()))
        classes, y = np.unique(labels.values[fit], return_inverse=True)
        model = self.classification(fitted, y, chosen, _known(classes, labels.values[parts.choose]))
        probabilities = np.zeros((len(parts.report), metrics.class_count(labels)))
        probabilities[:, classes] = log_probabilities(model(reported)).exp().double().numpy()
        notes = self._notes(model) + _unseen(labels, classes, parts.report)
        return Scores(metrics.classification(labels, parts.report, probabilities), notes=notes)

    def classification(
        self,
        x: Float[Tensor, "fit width"],
        y: Int[np.ndarray, "fit"],
        x_valid: Float[Tensor, "valid width"],
        y_valid: Int[np.ndarray, "valid"],
    ) -> Linear:
        """Logistic regression with the penalty of the lowest log loss on the validation units (-1: of no fitted class)."""
        known = torch.from_numpy(np.flatnonzero(y_valid >= 0))
        if not len(known):
            raise DataError(
                "no validation unit is of a class that the probe was fitted on: draw more labels or give other splits"
            )
        truth = torch.from_numpy(y_valid)[known, None]

        def log_loss(model: Linear) -> float:
            return -log_probabilities(model(x_valid[known])).gather(1, truth).double().mean().item()

        return best(logistic_path(x, torch.from_numpy(y), int(y.max()) + 1, self.l2, self.iterations), log_loss)

    def regression(
        self,
        x: Float[Tensor, "fit width"],
        y: Float[np.ndarray, "fit"],
        x_valid: Float[Tensor, "valid width"],
        y_valid: Float[np.ndarray, "valid"],
    ) -> Linear:
        """Ridge regression with the penalty of the lowest squared error on the validation units."""
        truth = torch.from_numpy(y_valid)

        def error(model: Linear) -> float:
            return (model(x_valid).squeeze(1) - truth).square().mean().item()

        return best(ridge_path(x, torch.from_numpy(y), self.l2), error)

    def _notes(self, model: Linear) -> tuple[str, ...]:
        if model.converged:
            return ()
        return (f"the probe had not converged after {self.iterations} iterations (l2={model.l2:g}): raise `iterations`",)


def best(path: Iterable[Linear], loss: Callable[[Linear], float]) -> Linear:
    """The model of the lowest loss; a path is left after `PATIENCE` models in a row that are no better."""
    found: Linear | None = None
    lowest, worse = np.inf, 0
    for model in path:
        value = loss(model)
        if found is None or value < lowest:
            found, lowest, worse = model, value, 0
        else:
            worse += 1
        if worse == PATIENCE:
            break
    assert found is not None
    return found


def draw_stratified(labels: Labels, rows: Int[np.ndarray, "rows"], count: int, seed: int) -> Int[np.ndarray, "drawn"]:
    """`count` of `rows`, in proportion to the classes and at least one of each; numbers are drawn evenly at random."""
    if count > len(rows):
        raise DataError(f"`labels`: {count} labelled training units asked for, there are {len(rows)}")
    generator = np.random.default_rng(seed)
    if labels.kind == "regression":
        return np.sort(generator.permutation(rows)[:count])
    classes = len(np.unique(labels.values[rows]))
    if count < classes:
        raise DataError(f"`labels`: {count} labelled training units asked for, fewer than the {classes} classes")
    return np.sort(rows[stratified_order(labels.values[rows], generator, each_first=True)[:count]])


def _known(classes: Int[np.ndarray, "fitted"], values: Int[np.ndarray, "rows"]) -> Int[np.ndarray, "rows"]:
    """Class indices as places in `classes`; -1 for a class that is not among them."""
    places = np.searchsorted(classes, values).clip(max=len(classes) - 1)
    return np.where(classes[places] == values, places, -1)


def _unseen(labels: Labels, classes: Int[np.ndarray, "fitted"], rows: Int[np.ndarray, "rows"]) -> tuple[str, ...]:
    unseen = np.setdiff1d(labels.values[rows], classes)
    if not len(unseen):
        return ()
    names = ", ".join(class_name(labels, int(number)) for number in unseen[:5]) + (", …" if len(unseen) > 5 else "")
    return (f"{len(unseen)} reported classes have no fitted unit and count as errors: {names}",)
