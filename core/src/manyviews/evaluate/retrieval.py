"""Retrieval: are a unit's nearest neighbours of its class? With nothing fitted.

Each reported unit asks the training units (the gallery) by cosine. Mean average precision over the whole ranking (Philbin et
al. 2007), Recall@K: share of the queries with one of their class among the first K (as Cars, CUB and SOP are reported).
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float
from pydantic import Field, PositiveInt
from torch import Tensor
from torch.nn import functional as F

from manyviews.errors import DataError
from manyviews.evaluate.cut import Cut, cut, labels_of
from manyviews.evaluate.task import Embedded, Scores, Task
from manyviews.evaluate.threads import torch_threads

CHUNK = 256
"""Queries ranked at a time."""


class Retrieval(Task):
    """`map`, and `recall_at_<k>`, of reported units that ask the training units. Whose class the gallery lacks is left out.

    Args:
        k: Neighbours looked at.
        among: What is asked: the training units (`train`), or the reported units themselves but for the one that asks
            (`report`), as is done with classes that were never trained on.
    """

    needs_labels = True
    needs_classes = True

    def __init__(
        self,
        *,
        k: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1, 5, 10),
        among: Literal["train", "report"] = "train",
    ) -> None:
        self.k, self.among = tuple(sorted(k)), among
        self.better = {"map": "higher", **{f"recall_at_{k}": "higher" for k in self.k}}

    def check(self, data: Embedded) -> None:
        self.cut(data)

    def cut(self, data: Embedded) -> Cut:
        """The units by role; there is nothing to choose."""
        labels = labels_of(data)
        if labels.kind != "classification":
            raise DataError(f"labels {labels.name!r} are numbers, and what is retrieved are of a class: leave the task out")
        return cut(data, choosing=False)

    def __call__(self, data: Embedded) -> Scores:
        parts, values = self.cut(data), torch.from_numpy(labels_of(data).values)
        unit = F.normalize(torch.from_numpy(np.ascontiguousarray(data.x, dtype=np.float64)), dim=1)
        gallery = parts.fit if self.among == "train" else parts.report
        precisions, firsts = [], []
        with torch_threads():
            for rows in np.array_split(parts.report, max(1, -(-len(parts.report) // CHUNK))):
                similarity = unit[rows] @ unit[gallery].T
                same = values[rows][:, None] == values[gallery]
                itself = torch.from_numpy(rows)[:, None] == torch.from_numpy(gallery)
                precision, first = rank(similarity.masked_fill(itself, -torch.inf), same & ~itself)
                precisions.append(precision)
                firsts.append(first)
        return self.scores(torch.cat(precisions), torch.cat(firsts), parts.notes)

    def scores(self, precision: Float[Tensor, "queries"], first: Float[Tensor, "queries"], notes: tuple[str, ...]) -> Scores:
        """Of the queries that have an answer."""
        have = precision.isfinite()
        if not have.any():
            raise DataError("retrieval: no reported unit has a unit of its class to find")
        lost = int((~have).sum())
        notes += (f"{lost:,} reported units have no unit of their class to find and are left out",) if lost else ()
        recall = {f"recall_at_{k}": float((first[have] < k).double().mean()) for k in self.k}
        return Scores({"map": float(precision[have].mean()), **recall}, notes=notes)


def rank(
    similarity: Float[Tensor, "queries gallery"], same: Bool[Tensor, "queries gallery"]
) -> tuple[Float[Tensor, "queries"], Float[Tensor, "queries"]]:
    """Average precision of each query's ranking (NaN where there is nothing to find), and how many stand before the first."""
    order = similarity.argsort(dim=1, descending=True, stable=True)
    hits = same.gather(1, order).double()
    places = torch.arange(1, hits.shape[1] + 1, dtype=torch.float64)
    precision = (hits.cumsum(1) / places * hits).sum(1) / hits.sum(1)
    first = torch.where(hits.any(1), hits.argmax(1).double(), torch.inf)
    return precision, first
