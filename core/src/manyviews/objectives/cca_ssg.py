"""CCA-SSG: canonical correlation analysis as a loss (Zhang et al. 2021, equation 4).

Embeddings are standardised over units and divided by the root of their number, so that a view's correlation matrix is
Z^T Z. Two views are to be equal, and each one's dimensions uncorrelated:

    |Z_A - Z_B|^2 + weight * (|Z_A^T Z_A - 1|^2 + |Z_B^T Z_B - 1|^2)

More than two views: the mean over pairs. The authors' code minimises half of the first term, so that its weights are
half of those here for the same minimum; and it divides by the unbiased deviation, where here the diagonal of Z^T Z is 1
as in the paper.
"""

from __future__ import annotations

import math
from itertools import combinations

import torch
from einops import rearrange
from jaxtyping import Float
from pydantic import NonNegativeFloat
from torch import Tensor

from manyviews import distributed
from manyviews.objective import Branch, Loss, Objective
from manyviews.objectives.barlow_twins import standardize
from manyviews.objectives.shared import deviation, embed, exact, refuse_few_views, refuse_single
from manyviews.traits import Trait
from manyviews.view import View


def invariance(z: Float[Tensor, "views units width"]) -> Float[Tensor, ""]:
    """Squared distance of two views, mean over pairs (Zhang 2021, equation 4, first term); `z` as `unit_columns` gives it."""
    return torch.stack([(z[one] - z[two]).square().sum() for one, two in combinations(range(len(z)), 2)]).mean()


def decorrelation(z: Float[Tensor, "views units width"]) -> Float[Tensor, ""]:
    """How far the two views' correlations are from the identity, added up (Zhang 2021, equation 4, second term).

    Of several views the mean over pairs, which is twice the mean over views.
    """
    identity = torch.eye(z.shape[-1], dtype=z.dtype, device=z.device)
    return 2 * (z.mT @ z - identity).square().sum((-2, -1)).mean()


def unit_columns(z: Float[Tensor, "*views units width"], eps: float = 1e-10) -> Float[Tensor, "*views units width"]:
    """Standardised over units and divided by the root of their number (Zhang 2021, section 3.2).

    `eps` is added to the variance against collapse. It is smaller than a BatchNorm's, since here no layer has brought
    embeddings to unit scale first: those of a GCN over normalised features vary by 1e-5.
    """
    return standardize(z, eps) / math.sqrt(z.shape[-2])


class CCASSG(Objective):
    """Views of a unit are equal and dimensions uncorrelated, without projector, teacher or negatives (Zhang et al. 2021).

    Args:
        decorrelation_weight: Lambda, of the decorrelation of each view; twice that of the authors' code, which halves
            the invariance.
    """

    needs = frozenset({Trait.SEVERAL_VIEWS})
    across = "correlations over the units of all processes; every process computes the whole loss"

    def __init__(self, *, decorrelation_weight: NonNegativeFloat = 2e-3) -> None:
        super().__init__()
        self.decorrelation_weight = decorrelation_weight

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        refuse_few_views(views, "cca_ssg")
        local = rearrange(embed(views, student, "cca_ssg"), "views units out -> units views out")
        joined = rearrange(distributed.gather(local), "units views out -> views units out")
        refuse_single(joined.shape[1], "cca_ssg")
        with exact(joined):
            z = unit_columns(joined)
            terms = {"invariance": invariance(z), "decorrelation": decorrelation(z)}
            value = terms["invariance"] + self.decorrelation_weight * terms["decorrelation"]
        return Loss(value, {name: term.detach() for name, term in terms.items()} | {"embedding_std": deviation(joined)})
