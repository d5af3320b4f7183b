"""VICReg: variance, invariance, covariance (Bardes, Ponce, LeCun 2022).

Where libraries disagree, this is the form of the authors' released code, from which the paper's numbers come: the
invariance is a mean over units and dimensions (as in the paper's algorithm 1), the variance hinge is averaged over
the two branches and the covariance is added over them. The paper's equation 6 adds the variance over the branches
too, which some libraries follow: their variance weight counts double (13.0007 against 12.5428 on one input).
More than two views: the mean over pairs of views.
"""

from __future__ import annotations

from itertools import combinations

import torch
from einops import rearrange
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews import distributed
from manyviews.encoder import Encoder
from manyviews.nets.heads import MLPHead, Norm
from manyviews.objective import Branch, Loss, Objective
from manyviews.objectives.shared import deviation, embed, exact, refuse_few_views, refuse_single
from manyviews.traits import Trait
from manyviews.view import View


def invariance(z: Float[Tensor, "views units width"]) -> Float[Tensor, ""]:
    """Mean squared difference of two views (Bardes 2022, equation 5 over the width), averaged over pairs of views."""
    return torch.stack([F.mse_loss(z[one], z[two]) for one, two in combinations(range(len(z)), 2)]).mean()


def variance(z: Float[Tensor, "*views units width"], eps: float = 1e-4) -> Float[Tensor, "*views"]:
    """Mean over dimensions of how far the standard deviation falls short of 1 (Bardes 2022, equations 1 and 2)."""
    return F.relu(1 - (z.var(-2) + eps).sqrt()).mean(-1)


def covariance(z: Float[Tensor, "*views units width"]) -> Float[Tensor, "*views"]:
    """Sum of the squared off-diagonal covariances over the width (Bardes 2022, equations 3 and 4)."""
    units, width = z.shape[-2:]
    centred = z - z.mean(-2, keepdim=True)
    matrix = centred.mT @ centred / (units - 1)
    every, diagonal = matrix.square().sum((-2, -1)), matrix.diagonal(dim1=-2, dim2=-1).square().sum(-1)
    return (every - diagonal) / width


class VICReg(Objective):
    """Views of a unit agree, while every dimension varies and no two are correlated (Bardes et al. 2022).

    Args:
        invariance_weight: Of the mean squared difference between views.
        variance_weight: Of the hinge on each dimension's standard deviation.
        covariance_weight: Of the squared off-diagonal covariances.
        hidden: Width of the expander's hidden layers; null: 4 times the width of a unit, the paper's ratio.
        out: Width of the embedding; null: as `hidden`.
        layers: Linear layers of the expander.
        norm: What normalises the expander's hidden layers. `batch` needs 2 units or more on each process.
    """

    needs = frozenset({Trait.SEVERAL_VIEWS})
    across = "variance and covariance over the units of all processes; every process computes the whole loss"

    def __init__(
        self,
        *,
        invariance_weight: NonNegativeFloat = 25.0,
        variance_weight: NonNegativeFloat = 25.0,
        covariance_weight: NonNegativeFloat = 1.0,
        hidden: PositiveInt | None = None,
        out: PositiveInt | None = None,
        layers: PositiveInt = 3,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        self.weights = (invariance_weight, variance_weight, covariance_weight)
        self.hidden, self.out, self.layers, self.norm = hidden, out, layers, norm

    def head(self, encoder: Encoder, width: int) -> nn.Module:
        hidden = self.hidden or 4 * width
        return MLPHead(width, hidden=hidden, out=self.out or hidden, layers=self.layers, norm=self.norm)

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        refuse_few_views(views, "vicreg")
        z = distributed.gather(rearrange(embed(views, student, "vicreg"), "views units out -> units views out"))
        refuse_single(len(z), "vicreg")
        z = rearrange(z, "units views out -> views units out")
        with exact(z):
            # Twice the mean over views: in the mean over pairs of views, each pair adds the covariances of both.
            terms = {"invariance": invariance(z), "variance": variance(z).mean(), "covariance": 2 * covariance(z).mean()}
            value = torch.stack([weight * term for weight, term in zip(self.weights, terms.values(), strict=True)]).sum()
        return Loss(value, {name: term.detach() for name, term in terms.items()} | {"embedding_std": deviation(z)})
