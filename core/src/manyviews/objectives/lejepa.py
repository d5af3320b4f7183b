"""LeJEPA: views predict the mean of the global ones, SIGReg prevents collapse (Balestriero & LeCun 2025, algorithm 2).

No teacher, no stop-gradient, no schedule.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from manyviews import distributed
from manyviews.encoder import Encoder
from manyviews.nets.heads import MLPHead, Norm
from manyviews.objective import Branch, Loss, Objective
from manyviews.objectives.shared import deviation, embed, exact, refuse_few_views, refuse_single, taught
from manyviews.objectives.sigreg import sigreg, slices
from manyviews.traits import Trait
from manyviews.view import View


def odd(knots: int) -> int:
    """Raises ValueError for an even number of knots: the middle one has to lie at 0."""
    if knots % 2 == 0:
        raise ValueError(f"the number of knots is odd, not {knots}")
    return knots


Knots = Annotated[int, Field(ge=3), AfterValidator(odd)]


def prediction(z: Float[Tensor, "views units width"], seen: Sequence[int]) -> Float[Tensor, "units"]:
    """Squared distance of every view to the mean of the global ones, mean over views and width (LeJEPA, algorithm 2)."""
    center = torch.stack([z[view] for view in seen]).mean(0)
    return (z - center).square().mean((0, 2))


class LeJEPA(Objective):
    """Views of a unit agree with its global views, and embeddings are spread as an isotropic Gaussian.

    loss = (1 - weight) * prediction + weight * SIGReg, the latter averaged over views.

    Args:
        weight: Lambda, the method's one parameter; .01 to .1 in the paper.
        slices: Random directions drawn at each step.
        knots: Of the integral over the characteristic function; odd.
        reach: The integral runs from -reach to reach.
        hidden: Width of the head's hidden layers; null: 4 times the width of a unit.
        out: Width of the embedding.
        layers: Linear layers of the head.
        norm: What normalises the head's hidden layers. `batch` needs 2 units or more on each process.
    """

    needs = frozenset({Trait.SEVERAL_VIEWS})
    across = "characteristic functions of the units of all processes, on the same slices"

    def __init__(
        self,
        *,
        weight: Annotated[float, Field(gt=0, lt=1)] = 0.05,
        slices: PositiveInt = 1024,
        knots: Knots = 17,
        reach: PositiveFloat = 5.0,
        hidden: PositiveInt | None = None,
        out: PositiveInt = 128,
        layers: PositiveInt = 3,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        self.weight, self.slices, self.knots, self.reach = weight, slices, knots, reach
        self.hidden, self.out, self.layers, self.norm = hidden, out, layers, norm

    def head(self, encoder: Encoder, width: int) -> nn.Module:
        return MLPHead(width, hidden=self.hidden or 4 * width, out=self.out, layers=self.layers, norm=self.norm)

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        refuse_few_views(views, "lejepa")
        z = embed(views, student, "lejepa")
        refuse_single(sum(distributed.counts(z.shape[1])), "lejepa")
        directions = slices(z.shape[-1], self.slices, generator, z)
        with exact(z):
            agreement = distributed.mean(prediction(z, taught(views, "lejepa")))
            gaussianity = torch.stack([sigreg(view, directions, self.knots, self.reach) for view in z]).mean()
            value = (1 - self.weight) * agreement + self.weight * gaussianity
        metrics = {"prediction": agreement.detach(), "sigreg": gaussianity.detach(), "embedding_std": deviation(z)}
        return Loss(value, metrics)
