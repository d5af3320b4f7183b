"""Convolutional encoders: what they have in common. Dates are encoded one by one, all bands together."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews.encoding import Encoding
from manyviews.moving import taken
from manyviews.view import View
from manyviews_satellite.encoder import Pool, TileEncoder
from manyviews_satellite.groups import Group
from manyviews_satellite.spec import TileSpec


class BandConv(nn.Module):
    """A convolution of images of which some bands may be missing: the others' weights make up for them.

    Args:
        bands: Those of the spec.
        out: Channels that it makes.
        kernel: Rows and columns.
        stride: Step.
        bias: Whether there is one.
    """

    def __init__(self, bands: int, out: int, kernel: int, stride: int = 1, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out, bands, kernel, kernel))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        self.bias = nn.Parameter(torch.zeros(out)) if bias else None
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Float[Tensor, "images given rows cols"], bands: tuple[int, ...]) -> Float[Tensor, "images out h w"]:
        weight = taken(self.weight, 1, bands) * (self.weight.shape[1] / len(bands))
        return F.conv2d(x, weight, self.bias, self.stride, self.kernel // 2)


class ImageEncoder(TileEncoder, ABC):
    """Tokens are the cells of a feature map; pixels of hidden ones are replaced by a learned colour before any convolution."""

    def __init__(self, spec: TileSpec, *, width: int, patch: int, pool: Pool) -> None:
        super().__init__(spec, width=width, patch=patch, groups=(Group(tuple(range(len(spec.bands)))),), pool=pool)
        self.mask = nn.Parameter(torch.zeros(len(spec.bands)))

    def forward(self, view: View) -> Encoding:
        batch = view.batch.standardised(self.spec, self.dtype)
        pixels = batch.pixels
        if (hidden := self.withheld(view)) is not None:
            where = repeat(hidden, "b d 1 h w -> b d 1 (h p) (w q)", p=self.patch, q=self.patch)
            colour = rearrange(self.mask[list(batch.bands)], "c -> 1 1 c 1 1").to(pixels.dtype)
            pixels = torch.where(where, colour, pixels)
        cells = self.cells(rearrange(pixels, "b d c h w -> (b d) c h w"), batch.bands)
        tokens = rearrange(cells, "(b d) width h w -> (b d h w) width", b=len(batch))
        lengths = view.layout.lengths
        return Encoding(tokens, None, lengths, self.pooled(tokens, None, lengths, batch))

    @abstractmethod
    def cells(self, x: Float[Tensor, "images given rows cols"], bands: tuple[int, ...]) -> Float[Tensor, "images width h w"]:
        """The feature map, `patch` times smaller."""
