"""JEPA: predict in latent space what was withheld from the encoder (I-JEPA, Assran 2023; T-JEPA, Thimonier 2025).

The student encodes the shown tokens, a predictor says what the withheld ones are in the teacher's encoding of the
whole sample. Two ways keep the representation from collapsing:

- an EMA teacher, as in the papers (`regularizer: none`);
- no teacher: the targets are the student's own encoding of the whole sample, with gradient, and a regulariser on that
  encoding's units holds their spread up: variance and covariance (VICReg, as in C-JEPA, Mo & Tong 2024), or SIGReg
  (Balestriero & LeCun 2025).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews import distributed
from manyviews.encoder import Encoder
from manyviews.encoding import Encoding
from manyviews.mask import Mask
from manyviews.objective import Branch, Loss, Objective
from manyviews.objectives.shared import average, deviation, exact, full, question, refuse_single, withholding
from manyviews.objectives.sigreg import sigreg, slices
from manyviews.objectives.vicreg import covariance, variance
from manyviews.traits import Trait
from manyviews.view import View

Distance = Literal["mse", "smooth_l1"]


def distances(
    prediction: Float[Tensor, "asked width"], target: Float[Tensor, "asked width"], kind: Distance
) -> Float[Tensor, "asked"]:
    """Of each predicted token, mean over the width: squared (Assran 2023, equation 1) or smooth L1 (its code)."""
    loss = F.mse_loss if kind == "mse" else F.smooth_l1_loss
    return loss(prediction, target, reduction="none").mean(-1)


def multiplicity(asked: Mask, tokens: Int[Tensor, "chosen"]) -> Int[Tensor, "chosen"]:
    """In how many of the asked sets each token is."""
    return asked.where.sum(0)[tokens]


class JEPA(Objective):
    """A predictor fills in withheld tokens in latent space (Assran et al. 2023); with several masked views, the mean.

    Args:
        loss: `mse`, or `smooth_l1`, with beta 1.
        normalize_targets: Layer-norm each target token, as I-JEPA's code does.
        predict: `per_set`: the predictor sees the context and the places of one asked set at a time, as in the papers.
            `together`: it is asked once for all withheld tokens, and each counts as often as sets ask for it: the same
            loss over the same tokens, in one pass.
        regularizer: `none`: an EMA teacher gives the targets. `vicreg` or `sigreg`: no teacher; see the module.
        regularizer_weight: Of the regulariser; `sigreg` grows with the number of units, .05 is usual.
        regularize: The units whose spread is held up: `pooled` (one a sample) or `tokens` (all tokens of the batch).
        slices: Random directions of `sigreg`, drawn at each step.
        width: Width of the predictor.
        depth: Blocks of the predictor.
        heads: Attention heads of the predictor.
    """

    needs = frozenset({Trait.HIDDEN_TOKENS, Trait.HIDES_TOKENS, Trait.TEACHER})
    across = "mean over the asked tokens of all processes, however many each has; regularisers over all units"

    def __init__(
        self,
        *,
        loss: Distance = "smooth_l1",
        normalize_targets: bool = True,
        predict: Literal["per_set", "together"] = "per_set",
        regularizer: Literal["none", "vicreg", "sigreg"] = "none",
        regularizer_weight: PositiveFloat = 1.0,
        regularize: Literal["pooled", "tokens"] = "pooled",
        slices: PositiveInt = 1024,
        width: PositiveInt = 64,
        depth: NonNegativeInt = 2,
        heads: PositiveInt = 4,
    ) -> None:
        super().__init__()
        self.loss, self.normalize_targets, self.predict = loss, normalize_targets, predict
        self.regularizer, self.regularizer_weight, self.regularize = regularizer, regularizer_weight, regularize
        self.slices, self.width, self.depth, self.heads = slices, width, depth, heads
        if regularizer != "none":
            self.needs = self.needs - {Trait.TEACHER}

    def predictor(self, encoder: Encoder, width: int) -> nn.Module:
        return encoder.decoder(self.width, self.depth, self.heads, encoder.width)

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        masked = withholding(views, "jepa")
        # Views that mask one and the same batch share its encoding.
        batches = {id(view.batch): view for view in masked}
        wholes = {key: self._whole(view, student, teacher) for key, view in batches.items()}
        loss = average([self._one(view, wholes[id(view.batch)], student) for view in masked])
        if self.regularizer == "none":
            return loss
        penalty = torch.stack([self._penalty(whole, generator) for whole in wholes.values()]).mean()
        return Loss(loss.value + self.regularizer_weight * penalty, {**loss.metrics, self.regularizer: penalty.detach()})

    def _whole(self, view: View, student: Branch, teacher: Branch | None) -> Encoding:
        """The encoding of the samples with nothing withheld, whose tokens are the targets."""
        shown = replace(view, hidden=None, asked=None)
        if self.regularizer != "none":
            return student.encoder(shown)  # type: ignore[no-any-return]
        assert teacher is not None
        with torch.no_grad():
            return teacher.encoder(shown)  # type: ignore[no-any-return]

    def _one(self, view: View, whole: Encoding, student: Branch) -> Loss:
        assert view.hidden is not None
        assert student.predictor is not None
        sets = question(view)
        asked = view.hidden if self.predict == "together" else sets
        tokens = asked.index(view.layout.lengths) % view.layout.lengths.total
        prediction = full(student.predictor(student.encoder(view), view, asked))
        everything = full(whole.tokens)
        target = F.layer_norm(everything, everything.shape[-1:]) if self.normalize_targets else everything
        weights = multiplicity(sets, tokens) if self.predict == "together" else None
        value = distributed.mean(distances(prediction, target[tokens], self.loss), weights)
        return Loss(value, {"prediction": value.detach(), "target_std": deviation(everything)})

    def _penalty(self, whole: Encoding, generator: torch.Generator) -> Float[Tensor, ""]:
        units = full(whole.pooled if self.regularize == "pooled" else whole.tokens)
        each = distributed.counts(len(units))
        refuse_single(sum(each), f"jepa with `regularizer: {self.regularizer}`")
        with exact(units):
            if self.regularizer == "sigreg":
                return sigreg(units, slices(units.shape[-1], self.slices, generator, units))
            units = distributed.gather(units, each)
            # VICReg's own ratio of the two terms (25 : 1), with the variance at weight 1.
            return variance(units) + covariance(units) / 25
