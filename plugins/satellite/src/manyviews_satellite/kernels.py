"""Linear maps of patches, band by band: a missing band is left out of a sum, and its share made up for.

`band`: each band has weights of its own (SatMAE's patch embedding, which is linear over a group's bands, is this sum).
`wavelength`: one net makes the weights of any band from where it lies in the spectrum (DOFA, Xiong et al. 2024, section
3.2), so that bands of another sensor have weights, too; what has no wavelength, and polarisations, have a learned code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor, nn

from manyviews.moving import taken
from manyviews.nets.positions import sincos
from manyviews_satellite.spec import Band

Form = Literal["band", "wavelength"]
CODE = 64


class BandKernels(nn.Module):
    """(bands, inputs) -> width: a sum over bands of linear maps.

    Args:
        bands: Those of the spec.
        inputs: Numbers of a patch in one band.
        width: Width of a token.
        form: See above.
    """

    def __init__(self, bands: Sequence[Band], inputs: int, width: int, form: Form) -> None:
        super().__init__()
        self.form, self.inputs, self.width = form, inputs, width
        self.bias = nn.Parameter(torch.zeros(width))
        if form == "band":
            # As one linear layer over all bands together would start.
            self.weight = nn.Parameter(_xavier(torch.empty(len(bands), inputs, width), len(bands) * inputs + width))
            return
        known = [band.wavelength for band in bands]
        self.register_buffer("codes", _codes([1.0 if length is None else length for length in known]), persistent=False)
        self.own = nn.Embedding(len(bands), CODE)
        self.make = nn.Sequential(nn.Linear(CODE, CODE), nn.GELU(), nn.Linear(CODE, inputs * width))
        nn.init.normal_(self.own.weight, std=0.02)
        _xavier(self.make[2].weight, inputs * width)  # type: ignore[arg-type]
        self.gain = 1 / math.sqrt(len(bands))

    def weights(self) -> Float[Tensor, "bands inputs width"]:
        """Of all bands of the spec."""
        if self.form == "band":
            return self.weight
        codes = self.get_buffer("codes").to(self.own.weight.dtype) + self.own.weight
        return self.make(codes).reshape(-1, self.inputs, self.width) * self.gain

    def forward(
        self, patches: Float[Tensor, "places bands inputs"], bands: Sequence[int], whole: int
    ) -> Float[Tensor, "places width"]:
        """Tokens of patches.

        Args:
            patches: Of the bands that are there.
            bands: Their numbers in the spec.
            whole: Bands that there would be were none missing.
        """
        weights = taken(self.weights(), 0, bands)
        made = einsum(patches, weights.to(patches.dtype), "places bands inputs, bands inputs width -> places width")
        return made * (whole / len(bands)) + self.bias


def _xavier(weight: Tensor, fans: int) -> Tensor:
    bound = math.sqrt(6 / fans)
    return nn.init.uniform_(weight, -bound, bound)


def _codes(wavelengths: list[float]) -> Float[Tensor, "bands code"]:
    """Of the logarithm: from violet to radar there are five orders of magnitude."""
    places = 100 * torch.tensor(wavelengths, dtype=torch.float64).log()[:, None]
    return sincos(places, CODE).float()
