"""MERLIN: despeckling learnt from single-look complex images alone (Dalsasso, Denis, Tupin 2021, IEEE TGRS, equation 8).

Of fully developed speckle, z = a + jb, real and imaginary part are independent N(0, R/2) given the reflectivity R. What
is predicted of R from a is scored by the likelihood of b, and the other way round, so no clean image is needed.
"""

from __future__ import annotations

from collections.abc import Sequence

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
NEW, FARTHEST = 0.05, 2.0
"""Weight of a step in the kept ratio, and how far from 1 a step may pull."""


def negative_log_likelihood(reflectivity: Float[Tensor, "*shape"], part: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """1/2 log R + b^2 / R: minus the logarithm of N(b; 0, R/2), less a constant (Dalsasso 2021, equation 8)."""
    return 0.5 * reflectivity.log() + part.square() / reflectivity


def reflectivity(own: Float[Tensor, "pixels"], noise: Float[Tensor, "pixels"]) -> Float[Tensor, "pixels"]:
    """R = exp(2 (o (M - m) + m)) + 1e-6, where o is what is left of the scaled logarithm of a part without its noise."""
    left = scaled_log(own) - noise
    return (2 * (left * (HIGH - LOW) + LOW)).exp() + SMALLEST


def ratio(
    parts: Sequence[Float[Tensor, "pixels"]], reflectivities: Sequence[Float[Tensor, "pixels"]]
) -> Float[Tensor, "pixels"]:
    """The ratio image: (a^2 + b^2) over the mean of R_a and R_b.

    Its mean is below 1 where all is well. The likelihood brings the mean of 2 b^2 / R_a to 1, so it is 1/R_a that is right on
    average. Take level ground and R_a proportional to the mean of a^2 over N pixels, this one among them: 1 over a mean of N
    such squares is N / (N - 2) on average, so R_a is that much too large, and so is its mean with R_b; the ratio image has mean
    1 - 2/N. Multiplied by it, the estimate is the mean of a^2 + b^2 over N pixels: its mean is R, and its ratio image's is 1.
    """
    return torch.stack(list(parts)).square().sum(0) / torch.stack(list(reflectivities)).mean(0)


class Merlin(Objective):
    """What is predicted from one part of a complex image is scored on the other (MERLIN, Dalsasso et al. 2021).

    The mean of the ratio image of the last steps is kept with the encoder: what despeckles scenes multiplies by it.

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
        told = [self._one(view, student) for view in views]
        with torch.no_grad():
            seen = self._mean(ratio([own for own, _, _ in told], [found.detach() for _, found, _ in told]), views[0])
            encoder = student.encoder
            assert isinstance(encoder, UNet)
            if encoder.training:
                kept = encoder.get_buffer("ratio")
                # Before much is learnt it may be anything.
                kept.lerp_(seen.clamp(1 / FARTHEST, FARTHEST).to(kept.dtype), NEW)
        return Loss(torch.stack([loss for _, _, loss in told]).mean(), {"ratio": seen})

    def _one(self, view: View, student: Branch) -> tuple[Float[Tensor, "pixels"], Float[Tensor, "pixels"], Float[Tensor, ""]]:
        """The part that is shown, the reflectivity that is told from it, and the loss."""
        answer = view.target
        assert isinstance(answer, OtherPart)
        encoder = student.encoder
        assert isinstance(encoder, UNet)
        noise = full(encoder.noise(encoder(view).tokens).squeeze(1))
        with exact(noise):
            own, other = answer.own.to(noise.dtype), answer.other.to(noise.dtype)
            found = reflectivity(own, noise)
            return own, found, self._mean(negative_log_likelihood(found, other), view)

    @staticmethod
    def _mean(values: Float[Tensor, "pixels"], view: View) -> Float[Tensor, ""]:
        """Over the valid pixels of all processes."""
        valid = view.target.valid
        return distributed.mean(values) if valid is None else distributed.mean(values, valid)
