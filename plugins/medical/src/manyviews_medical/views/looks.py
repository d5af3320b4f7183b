"""How a view's numbers may change, as one section of a recipe; and the changing."""

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat
from torch import Tensor

from manyviews_medical.views import intensity

Share = Annotated[float, Field(ge=0, le=1)]


class Looks(BaseModel):
    """Changes of scaled numbers (0 to 1), each drawn for every sample of every view."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    shift: Annotated[float, Field(ge=0, lt=1)] = 0.1
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.1
    gamma: tuple[PositiveFloat, PositiveFloat] | None = (0.7, 1.5)
    invert: Share = 0.0
    """Share of the samples that turn dark for bright."""
    noise: NonNegativeFloat = 0.1
    blur: tuple[PositiveFloat, PositiveFloat] | None = (0.5, 1.0)
    """Range of the deviation, in voxels."""
    bias: NonNegativeFloat = 0.0
    """Coefficients of the bias field of MR; .3 is a strong one."""
    cutout: NonNegativeInt = 0
    """Boxes filled with noise."""
    cutout_sides: tuple[Share, Share] = (0.1, 0.3)
    chance: Share = 0.5
    """Share of the samples that gamma, noise, blur and bias each happen to."""


PLAIN = Looks(shift=0.0, scale=0.0, gamma=None, noise=0.0, blur=None)
"""Nothing changes."""


def changed(
    x: Float[Tensor, "samples channels *space"], looks: Looks, generator: torch.Generator
) -> Float[Tensor, "samples channels *space"]:
    """Scaled voxels as another scanner would have them."""
    if looks.blur is not None:
        x = intensity.sometimes(x, intensity.blurred(x, looks.blur, generator), looks.chance, generator)
    if looks.bias:
        x = intensity.sometimes(x, intensity.biased(x, looks.bias, generator), looks.chance, generator)
    if looks.gamma is not None:
        x = intensity.sometimes(x, intensity.gamma(x, looks.gamma, generator), looks.chance, generator)
    if looks.invert:
        x = intensity.sometimes(x, intensity.inverted(x), looks.invert, generator)
    if looks.shift or looks.scale:
        x = intensity.shifted(x, looks.shift, looks.scale, generator)
    if looks.noise:
        x = intensity.sometimes(x, intensity.noisy(x, looks.noise, generator), looks.chance, generator)
    if looks.cutout:
        x = intensity.cut_out(x, intensity.holes(x, looks.cutout, looks.cutout_sides, generator), generator)
    return x
