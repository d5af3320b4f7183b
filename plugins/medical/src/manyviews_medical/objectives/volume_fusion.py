"""Volume Fusion: a volume is mixed with another part of itself, and the net says voxel by voxel how much of each there is.

MIS-FM (Wang et al. 2023), section 3: x = a F + (1 - a) B with a from a few steps between 0 and 1, and segmentation into these
steps with Dice and cross-entropy. The whole of a segmentation net is pretrained, its decoder with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews import distributed
from manyviews.encoder import Encoder
from manyviews.errors import UserError
from manyviews.objective import Branch, Loss, Objective
from manyviews.objectives.shared import exact, full
from manyviews.objectives.soft_dice import soft_dice
from manyviews.traits import Trait
from manyviews.view import View
from manyviews_medical.encoder import as_volume_encoder
from manyviews_medical.nets.dense import DenseDecoder


@dataclass(frozen=True)
class FusionMap:
    """How much of the foreground there is at each voxel, as a step of the ladder from 0 to 1."""

    steps: Int[Tensor, "samples *space"]
    count: int
    known: Bool[Tensor, "samples *space"] | None = None


class VolumeFusion(Objective):
    """Says of each voxel which step of the mixing it is (Wang et al. 2023, MIS-FM, equations 1 to 4).

    Args:
        steps: Steps of the ladder, as the views have them; the paper's K + 1 = 5.
        dice: Weight of the Dice loss beside cross-entropy.
        width: Channels of the decoder at full size, for encoders that have none of their own.
    """

    needs = frozenset({Trait.PRETEXT_TARGET})
    target = FusionMap
    across = "cross-entropy: mean over the voxels of all processes; Dice: of all their voxels together"

    def __init__(
        self, *, steps: Annotated[PositiveInt, Field(ge=2)] = 5, dice: NonNegativeFloat = 1.0, width: PositiveInt = 16
    ) -> None:
        super().__init__()
        self.steps, self.dice, self.width = steps, dice, width

    def predictor(self, encoder: Encoder, width: int) -> nn.Module:
        own = as_volume_encoder(encoder, "volume_fusion")
        return DenseDecoder(own.spec.axes, own.scales, out=self.steps, width=self.width)

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        assert student.predictor is not None
        (view,) = views
        question: FusionMap = view.target
        refuse_other_steps(self.steps, question.count)
        logits = full(student.predictor(as_volume_encoder(student.encoder, "volume_fusion").maps(view)))
        with exact(logits):
            return fusion_loss(logits, question, self.dice)


def fusion_loss(logits: Float[Tensor, "samples steps *space"], question: FusionMap, dice: float) -> Loss:
    """Cross-entropy and Dice over the voxels that are known, and how many steps are right."""
    logits, truth = logits.flatten(2), question.steps.flatten(1)
    known = torch.ones_like(truth, dtype=torch.bool) if question.known is None else question.known.flatten(1)
    entropy = distributed.mean(F.cross_entropy(logits, truth, reduction="none").flatten(), known.flatten())
    right = (logits.detach().argmax(1) == truth).to(logits.dtype)
    overlap = 1 - soft_dice(logits.softmax(1), truth, known).mean()
    metrics = {"accuracy": distributed.mean(right.flatten(), known.flatten()), "dice_loss": overlap.detach()}
    return Loss(entropy + dice * overlap, metrics)


def refuse_other_steps(mine: int, theirs: int) -> None:
    """Views and objective speak of one ladder."""
    if mine != theirs:
        raise UserError(
            f"volume_fusion: the views mix in {theirs} steps, and the objective tells {mine} apart; set `steps` of both alike"
        )
