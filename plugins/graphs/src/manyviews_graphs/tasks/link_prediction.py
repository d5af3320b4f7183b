"""Link prediction: are two nodes linked, by edges that the encoder was not shown?

Hits@K and MRR as the Open Graph Benchmark has them (Hu et al. 2020), against the negatives of the split as one pool.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from pydantic import PositiveInt
from sklearn.metrics import average_precision_score, roc_auc_score

from manyviews.errors import DataError
from manyviews.evaluate.pair_scores import Likeness, pairs_of, roles, score_pairs
from manyviews.evaluate.task import Embedded, Scores, Task


def hits(links: Float[np.ndarray, "links"], others: Float[np.ndarray, "others"], k: int) -> float:
    """Share of the links that score above the k-th best of the pairs that are no links."""
    return float((links > np.sort(others)[-k]).mean())


def mean_reciprocal_rank(links: Float[np.ndarray, "links"], others: Float[np.ndarray, "others"]) -> float:
    """Mean of 1 / rank of each link among the pairs that are no links; of those that score the same, half rank above it."""
    ordered = np.sort(others)
    above = len(others) - np.searchsorted(ordered, links, side="right")
    level = len(others) - np.searchsorted(ordered, links, side="left") - above
    return float((1 / (1 + above + level / 2)).mean())


class LinkPrediction(Task):
    """Held-out edges against pairs of nodes that are not linked: `auc`, `average_precision`, `mrr` and `hits@K`.

    On the test pairs, or on the validation pairs where there are no test pairs. `data.hold_out_edges` holds them out.

    Args:
        score: `hadamard` fits a logistic regression on the product of the two nodes' vectors, dimension by dimension, to
            the training pairs, its penalty chosen on the validation pairs; `dot` and `cosine` fit nothing.
        hits: Each K of `hits@K`.
    """

    needs_labels = False
    needs_pairs = True

    def __init__(self, *, score: Likeness = "hadamard", hits: tuple[PositiveInt, ...] = (10, 50, 100)) -> None:
        self.score: Likeness = score
        self.hits = hits
        self.better = dict.fromkeys(("auc", "average_precision", "mrr", *(f"hits@{k}" for k in hits)), "higher")

    def check(self, data: Embedded) -> None:
        pairs = pairs_of(data)
        others = int((~pairs.same[roles(data, self.score).report]).sum())
        if self.hits and max(self.hits) > others:
            raise DataError(
                f"hits@{max(self.hits)} needs as many pairs that are no links, and {others} are reported\n"
                f"give smaller ones: `hits: [{others}]`"
            )

    def __call__(self, data: Embedded) -> Scores:
        self.check(data)
        found = score_pairs(data, self.score)
        links, others = found.score[found.same], found.score[~found.same]
        metrics = {
            "auc": float(roc_auc_score(found.same, found.score)),
            "average_precision": float(average_precision_score(found.same, found.score)),
            "mrr": mean_reciprocal_rank(links, others),
        }
        return Scores(metrics | {f"hits@{k}": hits(links, others, k) for k in self.hits}, notes=found.notes)
