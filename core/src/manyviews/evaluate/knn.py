"""k nearest neighbours by cosine: what an embedding's neighbourhoods say, with nothing fitted.

Wu et al. 2018 (arXiv 1805.01978), as DINO reports it: votes weighted by exp(similarity / temperature).
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from manyviews.errors import DataError
from manyviews.evaluate import metrics
from manyviews.evaluate.cut import Cut, cut, labels_of
from manyviews.evaluate.task import Embedded, Scores, Task
from manyviews.evaluate.threads import torch_threads

CHUNK = 1024
"""Reported units compared at a time: the similarities of a chunk are the largest thing in memory."""


class KNN(Task):
    """k nearest training units by cosine similarity; their votes, or their mean where the label is a number.

    Reports as the linear probe does, on the test split, or on the validation split where there is no test split.

    Args:
        k: Neighbours.
        weighted: Weight neighbours by exp(similarity / temperature); else all count alike.
        temperature: Of the weights.
    """

    needs_labels = True
    better = metrics.BETTER

    def __init__(self, *, k: PositiveInt = 20, weighted: bool = True, temperature: PositiveFloat = 0.07) -> None:
        self.k, self.weighted, self.temperature = k, weighted, temperature

    def check(self, data: Embedded) -> None:
        self.cut(data)

    def cut(self, data: Embedded) -> Cut:
        """The units by role; there is nothing to choose."""
        parts = cut(data, choosing=False)
        if self.k > len(parts.fit):
            raise DataError(
                f"k={self.k} neighbours asked for, there are {len(parts.fit)} labelled training units: give a smaller k"
            )
        return parts

    def __call__(self, data: Embedded) -> Scores:
        labels, parts = labels_of(data), self.cut(data)
        unit = F.normalize(torch.from_numpy(np.ascontiguousarray(data.x, dtype=np.float32)), dim=1)
        values = torch.from_numpy(labels.values[parts.fit])
        if labels.kind == "classification":
            values = F.one_hot(values, metrics.class_count(labels))
        with torch_threads():
            mean = self.mean(unit[parts.report], unit[parts.fit], values.float().reshape(len(values), -1))
        if labels.kind == "classification":
            return Scores(metrics.classification(labels, parts.report, mean), notes=parts.notes)
        return Scores(metrics.regression(labels, parts.report, mean[:, 0]), notes=parts.notes)

    def mean(
        self, asked: Float[Tensor, "asked width"], known: Float[Tensor, "known width"], values: Float[Tensor, "known columns"]
    ) -> Float[np.ndarray, "asked columns"]:
        """The weighted mean of the neighbours' values, for unit vectors."""
        means = []
        for part in torch.split(asked, CHUNK):
            similarity, neighbour = (part @ known.T).topk(self.k, dim=1)
            weight = (similarity / self.temperature if self.weighted else torch.zeros_like(similarity)).double().softmax(1)
            means.append((weight[..., None] * values[neighbour].double()).sum(1))
        return torch.cat(means).numpy()
