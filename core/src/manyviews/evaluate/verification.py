"""Verification: do two units belong together? Two recordings of one speaker, one place at two times, linked nodes."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from jaxtyping import Bool, Float
from pydantic import Field
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


def least_cost(
    same: Bool[np.ndarray, "pairs"], score: Float[np.ndarray, "pairs"], share: float, miss: float = 1.0, accept: float = 1.0
) -> float:
    """Minimum of the detection cost over all thresholds, normalised by that of the better constant answer (NIST SRE).

    Args:
        share: Of pairs that belong together, where verification is to be used.
        miss: Cost of missing one of these.
        accept: Cost of accepting another.
    """
    accepted, found, _ = roc_curve(same, score, drop_intermediate=False)
    cost = miss * share * (1 - found) + accept * (1 - share) * accepted
    return float(cost.min() / min(miss * share, accept * (1 - share)))


class Verification(Task):
    """Pairs told apart by how alike their embeddings are.

    Reports `auc`, `average_precision`, `eer` (the equal error rate) and `min_dcf` (the minimum detection cost).

    On the test pairs, or on the validation pairs where there are no test pairs.

    Args:
        score: `cosine` or `dot` of the two vectors, or `hadamard`, a logistic regression on their product, dimension by
            dimension, fitted on the training pairs.
        target_share: Share of pairs that belong together for which `min_dcf` weighs the two errors: .01 and .05 are usual.
    """

    needs_labels = False
    needs_pairs = True
    better = {"auc": "higher", "average_precision": "higher", "eer": "lower", "min_dcf": "lower"}  # noqa: RUF012

    def __init__(self, *, score: Likeness = "cosine", target_share: Annotated[float, Field(gt=0, lt=1)] = 0.01) -> None:
        self.score: Likeness = score
        self.target_share = target_share

    def check(self, data: Embedded) -> None:
        roles(data, self.score)

    def __call__(self, data: Embedded) -> Scores:
        found = score_pairs(data, self.score)
        metrics = {
            "auc": float(roc_auc_score(found.same, found.score)),
            "average_precision": float(average_precision_score(found.same, found.score)),
            "eer": equal_error_rate(found.same, found.score),
            "min_dcf": least_cost(found.same, found.score, self.target_share),
        }
        return Scores(metrics, notes=found.notes)
