"""MERLIN: despeckling learnt from single-look complex images alone (Dalsasso, Denis, Tupin 2021, IEEE TGRS, equation 8).

Of fully developed speckle, z = a + jb, real and imaginary part are independent N(0, R/2) given the reflectivity R. What
is predicted of R from a is scored by the likelihood of b, and the other way round, so no clean image is needed.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from manyviews import distributed
from manyviews.encoder import Encoder
from manyviews.errors import UserError
from manyviews.objective import Branch, Loss, Objective
from manyviews.objectives.shared import exact, full
from manyviews.traits import Trait
from manyviews.view import View
from manyviews_satellite.radar.parts import OtherPart
from manyviews_satellite.unet import HIGH, LOW, UNet, scaled_log

SMALLEST = 1e-6


def negative_log_likelihood(reflectivity: Float[Tensor, "*shape"], part: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """1/2 log R + b^2 / R: minus the logarithm of N(b; 0, R/2), less a constant (Dalsasso 2021, equation 8)."""
    return 0.5 * reflectivity.log() + part.square() / reflectivity


def reflectivity(own: Float[Tensor, "pixels"], noise: Float[Tensor, "pixels"]) -> Float[Tensor, "pixels"]:
    """R = exp(2 (o (M - m) + m)) + 1e-6, where o is what is left of the scaled logarithm of a part without its noise."""
    left = scaled_log(own) - noise
    return (2 * (left * (HIGH - LOW) + LOW)).exp() + SMALLEST


class Merlin(Objective):
    """What is predicted from one part of a complex image is scored on the other (MERLIN, Dalsasso et al. 2021).

    Trains `satellite/unet` on single-look complex radar; `manyviews_satellite.radar.despeckle` then takes whole scenes.
    """

    needs = frozenset({Trait.PRETEXT_TARGET, Trait.OWN_TOKENS})
    target = OtherPart
    across = "mean over the valid pixels of all processes"

    def head(self, encoder: Encoder, width: int) -> nn.Module:
        if not isinstance(encoder, UNet) or not encoder.spec.complex:
            raise UserError("satellite/merlin trains `satellite/unet` on single-look complex images; choose that encoder")
        return nn.Identity()

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        losses = [self._one(view, student) for view in views]
        return Loss(torch.stack(losses).mean())

    def _one(self, view: View, student: Branch) -> Float[Tensor, ""]:
        answer = view.target
        assert isinstance(answer, OtherPart)
        encoder = student.encoder
        assert isinstance(encoder, UNet)
        noise = full(encoder.noise(encoder(view).tokens).squeeze(1))
        with exact(noise):
            own, other = answer.own.to(noise.dtype), answer.other.to(noise.dtype)
            values = negative_log_likelihood(reflectivity(own, noise), other)
            return distributed.mean(values) if answer.valid is None else distributed.mean(values, answer.valid)
