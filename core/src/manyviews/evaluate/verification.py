"""Verification: do two units belong together? Two recordings of one speaker, one place at two times, linked nodes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from manyviews.evaluate.pair_scores import Likeness, roles, score_pairs
from manyviews.evaluate.task import Embedded, Scores, Task


def equal_error_rate(same: Bool[np.ndarray, "pairs"], score: Float[np.ndarray, "pairs"]) -> float:
    """The rate at which as large a share of the pairs that belong together is missed as of the others is accepted.

    Between the two thresholds where the rates cross, both are taken to change in a straight line.
    """
    accepted, found, _ = roc_curve(same, score, drop_intermediate=False)
    gap = (1 - found) - accepted  # falls from 1 to -1
    after = int(np.argmax(gap <= 0))
    share = gap[after - 1] / (gap[after - 1] - gap[after])
    return float(accepted[after - 1] + share * (accepted[after] - accepted[after - 1]))


class Verification(Task):
    """Pairs told apart by how alike their embeddings are: `auc`, `average_precision` and `eer`, the equal error rate.

    On the test pairs, or on the validation pairs where there are no test pairs.

    Args:
        score: `cosine` or `dot` of the two vectors, or `hadamard`, a logistic regression on their product, dimension by
            dimension, fitted on the training pairs.
    """

    needs_labels = False
    needs_pairs = True
    better = {"auc": "higher", "average_precision": "higher", "eer": "lower"}  # noqa: RUF012

    def __init__(self, *, score: Likeness = "cosine") -> None:
        self.score: Likeness = score

    def check(self, data: Embedded) -> None:
        roles(data, self.score)

    def __call__(self, data: Embedded) -> Scores:
        found = score_pairs(data, self.score)
        metrics = {
            "auc": float(roc_auc_score(found.same, found.score)),
            "average_precision": float(average_precision_score(found.same, found.score)),
            "eer": equal_error_rate(found.same, found.score),
        }
        return Scores(metrics, notes=found.notes)
