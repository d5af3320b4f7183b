"""Effective rank: how many directions an embedding really uses. No labels.

exp of the entropy of the normalised singular values: Roy & Vetterli 2007; RankMe, Garrido et al. 2023 (arXiv
2210.02885), where it tracks downstream accuracy. It lies between 1 and min(units, width), so with fewer units than
width it says more of the sample than of the encoder: compare values at the same number of units, or the share.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from pydantic import PositiveInt

from manyviews.errors import DataError
from manyviews.evaluate.task import Embedded, Scores, Task
from manyviews.evaluate.threads import torch_threads


def effective_rank(x: Float[np.ndarray, "units width"], *, center: bool = False) -> tuple[float, float]:
    """The effective rank of `x` and its share of the largest that it could be.

    That is min(units, width), and with `center` min(units - 1, width), since centring takes one direction away. A
    matrix of zeros, or with `center` one whose rows are equal but for float32 rounding, has rank 0.

    Raises:
        DataError: fewer than 2 units.
    """
    units, width = x.shape
    if units < 2:
        raise DataError(f"effective rank of {units} units: it needs 2 or more")
    rows = torch.from_numpy(np.ascontiguousarray(x, dtype=np.float64))
    sigma = torch.linalg.svdvals(rows - rows.mean(0) if center else rows)
    # What float32 rounding alone leaves of a constant embedding, once centred, would else have full rank.
    rounding = 10 * torch.finfo(torch.float32).eps * torch.linalg.vector_norm(rows) if center else 0.0
    sigma = sigma[sigma > rounding]
    if not len(sigma):
        return 0.0, 0.0
    p = sigma / sigma.sum()
    rank = torch.special.entr(p).sum().exp().item()
    return rank, rank / min(units - 1 if center else units, width)


class EffectiveRank(Task):
    """Effective rank (RankMe) of the training units' embedding, in float64.

    Reports `effective_rank` and `effective_rank_share`, its share of the largest possible, min(units, width).

    Args:
        center: Take the mean away first: the rank of what varies. As published it stays in, so that collapse onto one
            point shows as rank 1.
        max_units: Singular values of at most so many units, drawn with a fixed seed.
    """

    needs_labels = False
    better = {"effective_rank": "higher", "effective_rank_share": "higher"}  # noqa: RUF012

    def __init__(self, *, center: bool = False, max_units: PositiveInt = 10_000) -> None:
        self.center, self.max_units = center, max_units

    def __call__(self, data: Embedded) -> Scores:
        rows = data.rows("train")
        notes: tuple[str, ...] = ()
        if len(rows) > self.max_units:
            rows = np.sort(np.random.default_rng(0).permutation(rows)[: self.max_units])
        if len(rows) <= data.x.shape[1]:
            notes = (
                f"effective rank of {len(rows):,} units of width {data.x.shape[1]:,} is bounded by the units, not by the width",
            )
        with torch_threads():
            rank, share = effective_rank(data.x[rows], center=self.center)
        return Scores({"effective_rank": rank, "effective_rank_share": share}, notes=notes)
