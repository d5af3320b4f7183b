"""Ridge classification and regression: a probe in closed form, with no iterations to converge and no rate to choose.

Classes are regressed on as one-hot vectors (Rifkin et al. 2003), numbers as they are; one factorisation serves every
penalty, which is chosen on the validation split, never on the split that is reported.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field, PositiveFloat
from torch import Tensor
from torch.nn import functional as F

from manyviews.evaluate import metrics
from manyviews.evaluate.basis import Basis
from manyviews.evaluate.cut import Cut, cut, labels_of
from manyviews.evaluate.standardize import Standardizer
from manyviews.evaluate.task import Embedded, Scores, Task
from manyviews.evaluate.threads import torch_threads
from manyviews.source import Labels


class Ridge(Task):
    """Ridge regression on one-hot classes, or on numbers. Reports as the linear probe does.

    Args:
        standardize: Scale each feature to unit variance on the fitted units.
        l2: Penalties to choose from (scikit-learn's alpha), by squared error on the validation split.
    """

    needs_labels = True
    better = metrics.BETTER

    def __init__(
        self,
        *,
        standardize: bool = True,
        l2: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (1e4, 1e3, 1e2, 10.0, 1.0, 0.1, 0.01),
    ) -> None:
        self.standardize, self.l2 = standardize, l2

    def check(self, data: Embedded) -> None:
        cut(data, choosing=True)

    def __call__(self, data: Embedded) -> Scores:
        parts, labels = cut(data, choosing=True), labels_of(data)
        with torch_threads():
            said = self.said(data, parts, labels)
        if labels.kind == "regression":
            return Scores(metrics.regression(labels, parts.report, said[:, 0].numpy()), notes=parts.notes)
        return Scores(metrics.classification(labels, parts.report, said.numpy()), notes=parts.notes)

    def said(self, data: Embedded, parts: Cut, labels: Labels) -> Float[Tensor, "report outputs"]:
        """Of the reported units, by the penalty of the lowest squared error on the validation units."""
        x = torch.from_numpy(np.ascontiguousarray(data.x, dtype=np.float32))
        standardizer = Standardizer.fit(x[parts.fit], self.standardize)
        fitted, chosen, reported = (standardizer(x[rows]).double() for rows in (parts.fit, parts.choose, parts.report))
        values = torch.from_numpy(labels.values)
        y = F.one_hot(values.clamp(min=0), metrics.class_count(labels)) if labels.kind == "classification" else values[:, None]
        y = y.double()
        weights = ridge(fitted, y[parts.fit], self.l2)
        mean = y[parts.fit].mean(0)
        errors = [(chosen @ weight + mean - y[parts.choose]).square().mean() for weight in weights]
        return reported @ weights[int(torch.stack(errors).argmin())] + mean


def ridge(
    x: Float[Tensor, "units width"], y: Float[Tensor, "units outputs"], l2: tuple[float, ...]
) -> list[Float[Tensor, "width outputs"]]:
    """argmin ‖y - ȳ - x W‖² + l2 ‖W‖² for each penalty, for centred `x`: V (V'X'y) / (s² + l2) along the principal axes V."""
    basis = Basis.of(x)
    along = basis.rotate(x).T @ (y - y.mean(0))
    if basis.axes is None:  # too large to factorise: the normal equations, solved anew for each penalty
        gram = x.T @ x
        eye = torch.eye(len(gram), dtype=x.dtype)
        return [torch.linalg.solve(gram + penalty * eye, along) for penalty in l2]
    return [basis.back(along / (basis.energies[:, None] + penalty)) for penalty in l2]
