"""MP3: say where each token lies (Zhai et al. 2022, "Position prediction as an effective pretraining strategy").

The encoder is not told any position, and tokens look at a random part of their sample alone; each then classifies its own
place. What remains to go by is what tokens hold and how it fits together. No decoder, no targets, no second view.

Places are those of any layout: each axis of a sample's coordinates is cut into parts and classified by itself, so a grid of
patches costs a sum of classes where the paper's joint classification costs their product, and samples of unlike length share
a head.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews import distributed
from manyviews.encoder import Encoder
from manyviews.errors import UserError
from manyviews.lengths import Lengths
from manyviews.objective import Branch, Loss, Objective
from manyviews.objectives.shared import average, exact, full
from manyviews.traits import Trait
from manyviews.view import View
from manyviews.views.choose import choose, rounded


def parts_of(
    coordinates: Float[Tensor, "tokens axes"], lengths: Lengths, parts: int
) -> tuple[Int[Tensor, "tokens axes"], Bool[Tensor, "tokens axes"]]:
    """Which of `parts` equal parts of its sample's extent each token lies in, along each axis; and whether there is an extent.

    With as many evenly spaced tokens as parts, each has a part of its own.
    """
    owners = lengths.owners()[:, None].expand_as(coordinates)
    ends = [
        coordinates.new_zeros(len(lengths), coordinates.shape[1]).scatter_reduce(
            0, owners, coordinates, reduce=kind, include_self=False
        )
        for kind in ("amin", "amax")
    ]
    low, high = (end[lengths.owners()] for end in ends)
    extent = high - low
    # Rounding must not push the token at k / (n - 1) of the extent below its part.
    part = ((coordinates - low) / extent.clamp(min=torch.finfo(extent.dtype).tiny) * parts + 1e-4).long()
    return part.clamp(0, parts - 1), extent > 0


class PositionPrediction(Objective):
    """Each token of an encoder that knows no positions classifies its own place (MP3).

    Args:
        parts: Classes of each axis: a sample's extent is cut into so many.
        seen: Share of a sample's tokens that all of them may look at, drawn anew for each view.
    """

    needs = frozenset({Trait.PLACED_TOKENS, Trait.UNPLACED})
    across = "mean over the tokens of all processes, however many each has"

    def __init__(self, *, parts: Annotated[int, Field(ge=2)] = 64, seen: Annotated[float, Field(gt=0, le=1)] = 0.25) -> None:
        super().__init__()
        self.parts, self.seen = parts, seen

    def predictor(self, encoder: Encoder, width: int) -> nn.Module:
        if encoder.causal:
            raise UserError(
                "position_prediction: a causal encoder's tokens tell their place by how many they see; "
                "set `encoder.causal: false`"
            )
        return nn.Linear(encoder.width, encoder.axes * self.parts)

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        return average([self._one(view, student, generator) for view in views])

    def _one(self, view: View, student: Branch, generator: torch.Generator) -> Loss:
        assert student.predictor is not None
        lengths = view.layout.lengths
        seen = None if self.seen == 1 else choose(lengths, rounded(self.seen, lengths), generator)
        encoding = student.encoder(replace(view, hidden=None, asked=None, layers=False, placed=False, seen=seen))
        coordinates = view.layout.coordinates()
        assert coordinates is not None, "an encoder that offers PLACED_TOKENS says where they are"
        parts, known = parts_of(coordinates, lengths, self.parts)
        logits = full(student.predictor(encoding.tokens)).reshape(len(coordinates), -1, self.parts)
        logits = logits[:, -coordinates.shape[1] :].flatten(0, 1)
        with exact(logits):
            values = F.cross_entropy(logits, parts.flatten(), reduction="none")
        right = (logits.detach().argmax(1) == parts.flatten()).to(logits.dtype)
        # Over axes a sum, as of a joint classification whose axes are independent; over tokens a mean.
        value = coordinates.shape[1] * distributed.mean(values, known.flatten())
        return Loss(value, {"accuracy": distributed.mean(right, known.flatten())})
