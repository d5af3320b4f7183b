"""VoCo: where in the volume a crop lies, told by how much it is like the crops around it (Wu et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import einsum
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews import distributed
from manyviews.encoder import Encoder
from manyviews.nets.heads import MLPHead
from manyviews.objective import Branch, Loss, Objective
from manyviews.objectives.shared import exact, full
from manyviews.traits import Trait
from manyviews.view import View

EPS = 1e-6


@dataclass(frozen=True)
class Overlaps:
    """How much of each random crop lies in each base crop of its volume."""

    share: Float[Tensor, "samples randoms bases"]


def assignment(
    randoms: Float[Tensor, "samples randoms out"], bases: Float[Tensor, "samples bases out"]
) -> Float[Tensor, "samples randoms bases"]:
    """ReLU of the cosine of each random crop with each base (Wu 2024, equation 1)."""
    one, two = F.normalize(randoms, dim=-1), F.normalize(bases, dim=-1)
    return einsum(one, two, "samples randoms out, samples bases out -> samples randoms bases").relu()


def near_and_far(
    said: Float[Tensor, "samples randoms bases"], share: Float[Tensor, "samples randoms bases"]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """-Σ y log(1 - |y - s|) / Σ y, and the mean of s² where y = 0 (Wu 2024, equations 2 and 3; as the authors' code sums
    them)."""
    near = -(1 - (share - said).abs()).clamp(min=EPS).log()
    return distributed.mean(near.flatten(), share.flatten()), distributed.mean(said.square().flatten(), (share == 0).flatten())


def alike(bases: Float[Tensor, "samples bases out"]) -> Float[Tensor, ""]:
    """Mean of ReLU(cos)² over pairs of bases of one volume, which are to differ (Wu 2024, equation 4)."""
    count = bases.shape[1]
    if count < 2:
        return bases.sum() * 0
    one, two = torch.triu_indices(count, count, 1, device=bases.device)
    unit = F.normalize(bases, dim=-1)
    cosine = (unit[:, one] * unit[:, two]).sum(-1)
    return distributed.mean(cosine.relu().square().flatten())


class VoCo(Objective):
    """Volume contrast: random crops against the base crops of their volume, student against teacher both ways.

    Args:
        regularizer: Weight of the term that keeps bases apart.
        hidden: Width of the head's hidden layer.
        out: Width of the embedding.
    """

    needs = frozenset({Trait.PRETEXT_TARGET, Trait.TEACHER})
    target = Overlaps
    across = "means over the crops of all processes; only crops of one volume are compared"

    def __init__(self, *, regularizer: NonNegativeFloat = 1.0, hidden: PositiveInt = 512, out: PositiveInt = 256) -> None:
        super().__init__()
        self.regularizer, self.hidden, self.out = regularizer, hidden, out

    def head(self, encoder: Encoder, width: int) -> nn.Module:
        return MLPHead(encoder.pooled_width, hidden=self.hidden, out=self.out, norm="layer")

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        assert teacher is not None
        (view,) = views
        share: Tensor = view.target.share
        mine = self._embedded(view, student, share)
        with torch.no_grad():
            theirs = self._embedded(view, teacher, share)
        with exact(mine[0]):
            share = share.to(mine[0].dtype)
            pairs = [near_and_far(assignment(mine[1], theirs[0]), share), near_and_far(assignment(theirs[1], mine[0]), share)]
            near, far = (torch.stack(both).mean() for both in zip(*pairs, strict=True))
            apart = alike(mine[0])
        metrics = {"near": near.detach(), "far": far.detach(), "bases_alike": apart.detach()}
        return Loss(near + far + self.regularizer * apart, metrics)

    def _embedded(self, view: View, branch: Branch, share: Tensor) -> tuple[Tensor, Tensor]:
        """Of the bases, of the random crops."""
        samples, randoms, bases = share.shape
        z = full(branch.head(branch.encoder(view).pooled)).reshape(samples, bases + randoms, -1)
        return z[:, :bases], z[:, bases:]
