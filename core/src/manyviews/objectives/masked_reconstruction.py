"""Masked reconstruction: say what the withheld tokens hold (MAE, He et al. 2022; GraphMAE, Hou et al. 2022; BERT).

The encoder sees the shown tokens, a small decoder predicts the raw content of the others: numbers (`mse`, `l1`,
`cosine`) or a class (`cross_entropy`). Content that is missing (NaN, or class -1) is left out of the mean.
"""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews import distributed
from manyviews.encoder import Encoder
from manyviews.errors import UserError
from manyviews.objective import Branch, Loss, Objective
from manyviews.objectives.cosine import cosines
from manyviews.objectives.shared import asking, average, exact, full, question
from manyviews.traits import Trait
from manyviews.view import View


def normalized(target: Float[Tensor, "tokens channels"], eps: float = 1e-6) -> Float[Tensor, "tokens channels"]:
    """Each token's content at mean 0 and variance 1 (unbiased, as MAE's `norm_pix_loss`), over what is not missing."""
    count = (~target.isnan()).sum(-1, keepdim=True)
    centred = target - target.nanmean(-1, keepdim=True)
    variance = centred.square().nansum(-1, keepdim=True) / (count - 1).clamp(min=1)
    return centred / (variance + eps).sqrt()


def errors(
    prediction: Float[Tensor, "tokens channels"], target: Float[Tensor, "tokens channels"], kind: Literal["mse", "l1"]
) -> tuple[Float[Tensor, "tokens channels"], Bool[Tensor, "tokens channels"]]:
    """Squared (He 2022, section 3) or absolute (Liu 2021, TERA) differences, and where there is content to compare with."""
    known = ~target.isnan()
    difference = prediction - torch.where(known, target, prediction.detach())
    return (difference.square() if kind == "mse" else difference.abs()), known


def scaled_cosine_errors(
    prediction: Float[Tensor, "tokens channels"], target: Float[Tensor, "tokens channels"], gamma: float
) -> tuple[Float[Tensor, "tokens"], Bool[Tensor, "tokens"]]:
    """(1 - cos)^gamma over the known channels (Hou 2022, equation 2), and which tokens have any. Targets get no gradient."""
    cosine, known = cosines(prediction, target)
    # Rounding may lift a cosine above 1, and a power of a negative number is NaN.
    return (1 - cosine).clamp(min=0) ** gamma, known


def cross_entropies(
    logits: Float[Tensor, "tokens classes"], classes: Int[Tensor, "tokens"]
) -> tuple[Float[Tensor, "tokens"], Bool[Tensor, "tokens"]]:
    """Cross-entropy of each token, and which have a class (0 where it is -1)."""
    return F.cross_entropy(logits, classes, ignore_index=-1, reduction="none"), classes >= 0


class MaskedReconstruction(Objective):
    """A decoder reconstructs the withheld tokens; with several masked views, the mean over them.

    Args:
        loss: `mse`, `l1`, `cosine` (GraphMAE's scaled cosine error) or `cross_entropy` (the encoder gives token classes).
        gamma: Exponent of the scaled cosine error.
        normalize_targets: Bring each token's content to mean 0 and variance 1 first, as MAE's better variant does.
        width: Width of the decoder.
        depth: Blocks of the decoder.
        heads: Attention heads of the decoder.
    """

    needs = frozenset({Trait.ASKED_TOKENS, Trait.TOKEN_TARGETS})
    across = "mean over the asked tokens of all processes, however many each has"

    def __init__(
        self,
        *,
        loss: Literal["mse", "l1", "cosine", "cross_entropy"] = "mse",
        gamma: Annotated[float, Field(ge=1)] = 2.0,
        normalize_targets: bool = False,
        width: PositiveInt = 64,
        depth: NonNegativeInt = 2,
        heads: PositiveInt = 4,
    ) -> None:
        super().__init__()
        self.loss, self.gamma, self.normalize_targets = loss, gamma, normalize_targets
        self.width, self.depth, self.heads = width, depth, heads
        if loss == "cross_entropy":
            self.needs = self.needs - {Trait.TOKEN_TARGETS} | {Trait.TOKEN_CLASSES}
            if normalize_targets:
                raise UserError(
                    "masked_reconstruction: `normalize_targets` is for numbers; leave it out with `loss: cross_entropy`"
                )

    def predictor(self, encoder: Encoder, width: int) -> nn.Module:
        out = encoder.target_classes if self.loss == "cross_entropy" else encoder.target_channels
        if not out:
            what = "classes for its tokens" if self.loss == "cross_entropy" else "raw content of its tokens"
            raise UserError(
                f"masked_reconstruction: `loss: {self.loss}` needs {what}; {type(encoder).__name__} has none of these data"
            )
        if self.normalize_targets and out < 2:
            raise UserError(
                f"masked_reconstruction: `normalize_targets` needs tokens of 2 or more channels, {type(encoder).__name__}'s "
                f"have {out}\nset `normalize_targets: false`"
            )
        return encoder.decoder(self.width, self.depth, self.heads, out)

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        return average([self._one(view, student) for view in asking(views, "masked_reconstruction")])

    def _one(self, view: View, student: Branch) -> Loss:
        assert student.predictor is not None
        asked = question(view)
        tokens = asked.index(view.layout.lengths) % view.layout.lengths.total
        prediction = full(student.predictor(student.encoder(view), view, asked))
        with exact(prediction):
            if self.loss == "cross_entropy":
                return self._classes(prediction, student.encoder.classes(view.batch)[tokens])
            return self._numbers(prediction, student.encoder.targets(view.batch, tokens).detach().to(prediction.dtype))

    def _classes(self, prediction: Float[Tensor, "asked out"], classes: Int[Tensor, "asked"]) -> Loss:
        values, known = cross_entropies(prediction, classes)
        right = (prediction.detach().argmax(-1) == classes).to(prediction.dtype)
        return Loss(distributed.mean(values, known), {"accuracy": distributed.mean(right, known)})

    def _numbers(self, prediction: Float[Tensor, "asked out"], target: Float[Tensor, "asked out"]) -> Loss:
        target = normalized(target) if self.normalize_targets else target
        if self.loss == "cosine":
            values, known = scaled_cosine_errors(prediction, target, self.gamma)
        else:
            values, known = errors(prediction, target, "mse" if self.loss == "mse" else "l1")
        return Loss(distributed.mean(values.flatten(), known.flatten()))
