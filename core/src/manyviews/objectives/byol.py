"""BYOL: predict the teacher's embedding of one view from the student's of another (Grill et al. 2020).

A departure from the paper: the teacher is in eval mode, as every teacher here, so that its batch norms use the running
statistics copied from the student and not those of the batch. A unit's target then does not depend on its batch; the
effect is not measured here. That BYOL needs no batch statistics at all (Richemond et al. 2020) speaks for it.

On `unit: token` with the views of a graph and without a projector this is BGRL (Thakoor et al. 2022).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews import distributed
from manyviews.encoder import Encoder
from manyviews.nets.heads import MLPHead, Norm
from manyviews.objective import Branch, Loss, Objective
from manyviews.objectives.shared import deviation, embed, exact, full, pairs, refuse_few_views, taught
from manyviews.traits import Trait
from manyviews.view import View


def regression(prediction: Float[Tensor, "*units width"], target: Float[Tensor, "*units width"]) -> Float[Tensor, "*units"]:
    """Squared distance of the normalised vectors, 2 - 2 cos (Grill 2020, equation 2)."""
    return 2 - 2 * F.cosine_similarity(prediction, target, dim=-1)


def byol(
    predictions: Float[Tensor, "views units width"],
    targets: Float[Tensor, "targets units width"],
    pairs: Sequence[tuple[int, int]],
) -> Float[Tensor, "units"]:
    """Twice the mean over pairs; for two views that is the paper's L + L~ (Grill 2020, section 3.1).

    Args:
        predictions: The predictor's output for every view.
        targets: The teacher's embeddings of the views that it saw.
        pairs: (view, target) of different views.
    """
    return 2 * torch.stack([regression(predictions[view], targets[target]) for view, target in pairs]).mean(0)


class BYOL(Objective):
    """Bootstrap your own latent: an EMA teacher's embedding of one view is predicted from another (Grill et al. 2020).

    The teacher embeds the views of role `global`, the student all of them; the same view is never paired with itself.

    Args:
        hidden: Width of the hidden layers of projector and predictor; null: twice the width of a unit, the paper's ratio.
        out: Width of the embedding; without a projector it is the encoder's, and this plays no part.
        layers: Linear layers of the projector and of the predictor.
        projector: Whether the encoder's vectors are projected before they are compared. BGRL compares them as they are.
        norm: What normalises their hidden layers. `batch` needs 2 units or more on each process.
    """

    needs = frozenset({Trait.SEVERAL_VIEWS, Trait.TEACHER})
    across = "mean over the units of all processes"

    def __init__(
        self,
        *,
        hidden: PositiveInt | None = None,
        out: PositiveInt = 256,
        layers: PositiveInt = 2,
        projector: bool = True,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        self.hidden, self.out, self.layers, self.projector, self.norm = hidden, out, layers, projector, norm

    def head(self, encoder: Encoder, width: int) -> nn.Module:
        if not self.projector:
            return nn.Identity()
        return MLPHead(width, hidden=self.hidden or 2 * width, out=self.out, layers=self.layers, norm=self.norm)

    def predictor(self, encoder: Encoder, width: int) -> nn.Module:
        out = self.out if self.projector else width
        return MLPHead(out, hidden=self.hidden or 2 * width, out=out, layers=self.layers, norm=self.norm)

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        assert teacher is not None
        assert student.predictor is not None
        refuse_few_views(views, "byol")
        seen = taught(views, "byol")
        z = embed(views, student, "byol")
        predictions = torch.stack([full(student.predictor(one)) for one in z])
        with torch.no_grad():
            targets = embed([views[view] for view in seen], teacher, "byol")
        with exact(z):
            value = distributed.mean(byol(predictions, targets, pairs(len(views), seen)))
            unit = F.normalize(z.detach(), dim=-1)
        return Loss(value, {"embedding_std": deviation(unit) * unit.shape[-1] ** 0.5})
