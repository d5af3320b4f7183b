"""Barlow Twins: the cross-correlation of two views is to be the identity (Zbontar et al. 2021, equations 1 and 2).

The standard deviation is the biased one, which makes the correlation of a view with itself 1, as in the paper and its
code (some libraries take the unbiased one: 12.144 against 11.829 on one input). More than two views: the mean over
pairs.

With `mixed_weight`, the regularisation of Bandara et al. 2023 ("Guarding Barlow Twins Against Overfitting with Mixed
Samples"): a third view mixes the inputs of the first two, x_m = s x_a + (1 - s) x_b[partner], and its correlations with
both are to be what they would be if embeddings mixed as inputs do. How inputs mix only the domain knows: its view
generator gives the mixed view, with a `Mixture` as the view's target.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import torch
from einops import rearrange
from jaxtyping import Float, Int
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from manyviews import distributed
from manyviews.encoder import Encoder
from manyviews.errors import UserError
from manyviews.nets.heads import MLPHead, Norm
from manyviews.objective import Branch, Loss, Objective
from manyviews.objectives.shared import deviation, embed, exact, refuse_few_views, refuse_single
from manyviews.traits import Trait
from manyviews.view import View


@dataclass(frozen=True)
class Mixture:
    """Of what a mixed view is made: `share` of the first view and the rest of the second view of `partner`."""

    share: Float[Tensor, "units"]
    partner: Int[Tensor, "units"]


def standardize(z: Float[Tensor, "*views units width"], eps: float = 1e-5) -> Float[Tensor, "*views units width"]:
    """Zero mean and unit (biased) variance over units; `eps` as in BatchNorm, so that collapse gives 0 and not NaN."""
    return (z - z.mean(-2, keepdim=True)) / (z.var(-2, correction=0, keepdim=True) + eps).sqrt()


def correlation(one: Float[Tensor, "units width"], two: Float[Tensor, "units width"]) -> Float[Tensor, "width width"]:
    """Cross-correlation of standardised embeddings (Zbontar 2021, equation 2)."""
    return one.mT @ two / len(one)


def invariance(matrix: Float[Tensor, "width width"]) -> Float[Tensor, ""]:
    """How far the diagonal is from 1 (Zbontar 2021, equation 1, first term)."""
    return (1 - matrix.diagonal()).square().sum()


def redundancy(matrix: Float[Tensor, "width width"]) -> Float[Tensor, ""]:
    """How far the off-diagonal is from 0 (Zbontar 2021, equation 1, second term)."""
    return matrix.square().sum() - matrix.diagonal().square().sum()


def mixed(
    one: Float[Tensor, "units width"],
    two: Float[Tensor, "units width"],
    mix: Float[Tensor, "units width"],
    partner: Float[Tensor, "units width"],
    share: Float[Tensor, "units"],
) -> Float[Tensor, ""]:
    """Half the squared differences between the mixed view's correlations and the mixed correlations (Bandara 2023, section 3).

    Args:
        one: Standardised embeddings of the first view.
        two: Of the second view.
        mix: Of the mixed view.
        partner: Rows of `two` in the order in which they were mixed in.
        share: Share of the first view in the mixture of each unit.
    """
    expected = share[:, None] * one + (1 - share[:, None]) * partner
    differences = [correlation(mix, z) - correlation(expected, z) for z in (one, two)]
    return torch.stack(differences).square().sum() / 2


class BarlowTwins(Objective):
    """Each dimension agrees between views, and no two dimensions say the same (Zbontar et al. 2021).

    Args:
        redundancy_weight: Of the off-diagonal correlations.
        mixed_weight: Of the mixed-sample regularisation (Bandara et al. 2023), times `redundancy_weight` as in its code;
            4 to 10 is usual there. Above 0, the view generator has to give a mixed view.
        hidden: Width of the projector's hidden layers; null: 4 times the width of a unit, the paper's ratio.
        out: Width of the embedding; null: as `hidden`.
        layers: Linear layers of the projector.
        norm: What normalises the projector's hidden layers. `batch` needs 2 units or more on each process.
    """

    needs = frozenset({Trait.SEVERAL_VIEWS})
    target = Mixture
    across = "correlations over the units of all processes; every process computes the whole loss"

    def __init__(
        self,
        *,
        redundancy_weight: NonNegativeFloat = 5e-3,
        mixed_weight: NonNegativeFloat = 0.0,
        hidden: PositiveInt | None = None,
        out: PositiveInt | None = None,
        layers: PositiveInt = 3,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        self.redundancy_weight, self.mixed_weight = redundancy_weight, mixed_weight
        self.hidden, self.out, self.layers, self.norm = hidden, out, layers, norm
        if mixed_weight:
            self.needs = self.needs | {Trait.PRETEXT_TARGET}

    def head(self, encoder: Encoder, width: int) -> nn.Module:
        hidden = self.hidden or 4 * width
        return MLPHead(width, hidden=hidden, out=self.out or hidden, layers=self.layers, norm=self.norm)

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        plain = tuple(view for view in views if not isinstance(view.target, Mixture))
        refuse_few_views(plain, "barlow_twins")
        mixtures = self._mixtures(views, plain)
        local = rearrange(embed((*plain, *mixtures), student, "barlow_twins"), "views units out -> units views out")
        each = distributed.counts(len(local))
        refuse_single(sum(each), "barlow_twins")
        joined = rearrange(distributed.gather(local, each), "units views out -> views units out")
        with exact(joined):
            z = standardize(joined)
            matrices = [correlation(one, two) for one, two in combinations(z[: len(plain)], 2)]
            terms = {
                "invariance": torch.stack([invariance(matrix) for matrix in matrices]).mean(),
                "redundancy": torch.stack([redundancy(matrix) for matrix in matrices]).mean(),
            }
            value = terms["invariance"] + self.redundancy_weight * terms["redundancy"]
            if mixtures:
                terms["mixed"] = self._mixed(z, mixtures[0].target, each)
                value = value + self.mixed_weight * self.redundancy_weight * terms["mixed"]
        return Loss(value, {name: term.detach() for name, term in terms.items()} | {"embedding_std": deviation(joined)})

    def _mixtures(self, views: tuple[View, ...], plain: tuple[View, ...]) -> tuple[View, ...]:
        mixtures = tuple(view for view in views if isinstance(view.target, Mixture))
        if not self.mixed_weight:
            return ()
        if len(mixtures) != 1 or len(plain) != 2:
            raise UserError(
                f"barlow_twins with `mixed_weight` needs 2 views and 1 mixed of them, not {len(plain)} and {len(mixtures)}\n"
                "choose a view generator that gives a mixed view, or set `mixed_weight: 0`"
            )
        return mixtures

    @staticmethod
    def _mixed(z: Float[Tensor, "views units out"], mixture: Mixture, each: list[int]) -> Float[Tensor, ""]:
        one, two, mix = z
        partner = distributed.gather(mixture.partner + sum(each[: distributed.rank()]), each)
        share = distributed.gather(mixture.share.to(z.dtype), each)
        return mixed(one, two, mix, two[partner], share)
