"""Autoregression: say what the next token holds (GPT, Radford et al. 2018; APC, Chung et al. 2019; GraphGPT, Zhao et al. 2024).

The encoder is causal: a token's embedding is made of itself and those before it. From it a linear read-out predicts the
raw content of the token `ahead` places further, numbers or a class. A sample's last `ahead` tokens predict nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import PositiveInt
from torch import Tensor, nn

from manyviews import distributed
from manyviews.encoder import Encoder
from manyviews.errors import UserError
from manyviews.lengths import Lengths
from manyviews.objective import Branch, Loss, Objective
from manyviews.objectives.masked_reconstruction import cross_entropies, errors
from manyviews.objectives.shared import average, exact, full
from manyviews.traits import Trait
from manyviews.view import View


def following(lengths: Lengths, ahead: int) -> tuple[Int[Tensor, "tokens"], Bool[Tensor, "tokens"]]:
    """The token `ahead` places behind each one, and whether that is one of the same sample."""
    owners, places = lengths.owners(), lengths.places()
    later = torch.arange(lengths.total, device=places.device) + ahead
    return later.clamp(max=lengths.total - 1), places + ahead < lengths.tensor[owners]


class Autoregression(Objective):
    """Each token's embedding predicts the content of a later token; with several views, the mean over them.

    Args:
        loss: `cross_entropy` (the encoder gives token classes), `mse` or `l1` (raw content).
        ahead: How many places further the predicted token stands.
    """

    needs = frozenset({Trait.CAUSAL, Trait.TOKEN_CLASSES})
    forms: ClassVar[Mapping[str, Mapping[str, Any]]] = {"numbers": {"loss": "mse"}}
    across = "mean over the predicted tokens of all processes, however many each has"

    def __init__(self, *, loss: Literal["cross_entropy", "mse", "l1"] = "cross_entropy", ahead: PositiveInt = 1) -> None:
        super().__init__()
        self.loss, self.ahead = loss, ahead
        if loss != "cross_entropy":
            self.needs = self.needs - {Trait.TOKEN_CLASSES} | {Trait.TOKEN_TARGETS}

    def predictor(self, encoder: Encoder, width: int) -> nn.Module:
        if not encoder.causal:
            raise UserError(
                "autoregression: this encoder's tokens see those that they are to predict; set `encoder.causal: true`"
            )
        out = encoder.target_classes if self.loss == "cross_entropy" else encoder.target_channels
        if not out:
            what = "classes for its tokens" if self.loss == "cross_entropy" else "raw content of its tokens"
            raise UserError(
                f"autoregression: `loss: {self.loss}` needs {what}; {type(encoder).__name__} has none of these data"
            )
        return nn.Linear(encoder.width, out)

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        if any(view.hidden is not None for view in views):
            raise UserError("autoregression predicts each token from all before it, and these views withhold some; use `whole`")
        return average([self._one(view, student) for view in views])

    def _one(self, view: View, student: Branch) -> Loss:
        assert student.predictor is not None
        prediction = full(student.predictor(student.encoder(view).tokens))
        later, real = following(view.layout.lengths, self.ahead)
        with exact(prediction):
            if self.loss == "cross_entropy":
                classes = student.encoder.classes(view.batch)[later]
                return self._classes(prediction, torch.where(real, classes, -1))
            target = student.encoder.targets(view.batch, later).detach().to(prediction.dtype)
            return self._numbers(prediction, torch.where(real[:, None], target, torch.nan))

    def _classes(self, prediction: Float[Tensor, "tokens out"], classes: Int[Tensor, "tokens"]) -> Loss:
        values, known = cross_entropies(prediction, classes)
        right = (prediction.detach().argmax(-1) == classes).to(prediction.dtype)
        return Loss(distributed.mean(values, known), {"accuracy": distributed.mean(right, known)})

    def _numbers(self, prediction: Float[Tensor, "tokens out"], target: Float[Tensor, "tokens out"]) -> Loss:
        values, known = errors(prediction, target, "mse" if self.loss == "mse" else "l1")
        return Loss(distributed.mean(values.flatten(), known.flatten()))
