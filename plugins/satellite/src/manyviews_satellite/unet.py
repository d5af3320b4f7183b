"""A U-Net whose tokens are pixels: the net of MERLIN, and of whatever asks about every pixel.

Laine et al. 2019's U-Net as Dalsasso et al. 2021 (MERLIN) have it: 48 channels, five pools, LeakyReLU of slope .1.
"""

from __future__ import annotations

from typing import Annotated

import torch
from einops import rearrange
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews.encoder import Encoder
from manyviews.encoding import Encoding
from manyviews.errors import UserError
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.traits import Trait
from manyviews.view import View
from manyviews_satellite.batch import TileBatch
from manyviews_satellite.images import BandConv
from manyviews_satellite.spec import TileSpec

LOW, HIGH = -1.429329123112601, 10.089038980848645
"""Least and largest logarithm of an amplitude, m and M of the paper: it scales logarithms of Sentinel-1 data by them."""
TINY = 1e-3


def scaled_log(part: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The logarithm of one part's square, from 0 to 1: (log(a^2 + 1e-3) - 2m) / (2 (M - m))."""
    return ((part.square() + TINY).log() - 2 * LOW) / (2 * (HIGH - LOW))


class UNet(Encoder):
    """Pixels as tokens. Of complex numbers each part is looked at alone, as a logarithm, and the tokens of both averaged.

    Args:
        channels: Of the way down; twice as many on the way up.
        pools: Halvings; a tile's rows and columns divide by 2^pools.
        width: Width of a token.
    """

    offers = frozenset({Trait.PLACED_TOKENS, Trait.OWN_TOKENS, Trait.FEATURE_MAPS})

    def __init__(
        self,
        spec: TileSpec,
        /,
        *,
        channels: PositiveInt = 48,
        pools: Annotated[int, Field(ge=1, le=6)] = 5,
        width: PositiveInt = 32,
    ) -> None:
        super().__init__()
        self.spec, self.pools, self.width = spec, pools, width
        inputs = 1 if spec.complex else len(spec.bands)
        self.first = BandConv(inputs, channels, 3)
        self.down = nn.ModuleList(_conv(channels, channels) for _ in range(pools + 1))
        up = [(channels * 2 if level == 0 else channels * 3, channels * 2) for level in range(pools - 1)]
        up.append(((channels if pools == 1 else 2 * channels) + inputs, channels * 2))
        self.up = nn.ModuleList(nn.Sequential(_conv(before, out), _conv(out, out)) for before, out in up)
        self.out = _conv(2 * channels, width)
        self.noise = nn.Linear(width, 1)
        """MERLIN's last layer: what is speckle in the scaled logarithm of a pixel."""
        nn.init.zeros_(self.noise.bias)
        self.register_buffer("ratio", torch.ones(()))  # of speckled over despeckled intensity, as MERLIN's training saw it

    def layout(self, batch: TileBatch) -> Layout:
        rows, cols = batch.pixels.shape[-2:]
        step = 2**self.pools
        if rows % step or cols % step:
            raise UserError(
                f"encoder.pools: tiles of {rows} x {cols} pixels do not halve {self.pools} times; choose fewer, or data.tile "
                f"as a multiple of {step}"
            )
        dates = (batch.dates,) if batch.dates > 1 else ()
        return Layout(Lengths.equal(len(batch), batch.dates * rows * cols, batch.pixels.device), grid=(*dates, rows, cols))

    def forward(self, view: View) -> Encoding:
        batch, lengths = view.batch, view.layout.lengths
        dtype = self.first.weight.dtype
        if self.spec.complex:
            parts = rearrange(scaled_log(self.physical(batch, dtype)), "b d c h w -> (b d c) 1 h w")
            cells = rearrange(self.pixels(parts, (0,)), "(n c) width h w -> n c width h w", c=len(batch.bands)).mean(1)
        else:
            pixels = batch.standardised(self.spec, dtype).pixels
            cells = self.pixels(rearrange(pixels, "b d c h w -> (b d) c h w"), batch.bands)
        tokens = rearrange(cells, "(b d) width h w -> (b d h w) width", b=len(batch))
        return Encoding(tokens, None, lengths, lengths.mean(tokens))

    def maps(self, view: View) -> tuple[Float[Tensor, "tiles width rows cols"], ...]:
        """The tokens as a map of pixels; dates are averaged."""
        batch = view.batch
        rows, cols = batch.pixels.shape[-2:]
        cells = rearrange(self(view).tokens, "(b d h w) width -> b d width h w", b=len(batch), h=rows, w=cols)
        return (cells.mean(1),)

    @staticmethod
    def physical(batch: TileBatch, dtype: torch.dtype) -> Float[Tensor, "tiles dates bands rows cols"]:
        """Pixels in physical units, 0 where nothing was seen."""
        found = batch.pixels.to(dtype) * batch.scale[..., None, None].to(dtype)
        return found if batch.valid is None else torch.where(batch.valid[:, :, None], found, found.new_zeros(()))

    def pixels(
        self, x: Float[Tensor, "images given rows cols"], bands: tuple[int, ...]
    ) -> Float[Tensor, "images width rows cols"]:
        """The feature map, as large as the images."""
        skips, y = [_all_bands(x, bands, self.first.weight.shape[1])], F.leaky_relu(self.first(x, bands), 0.1)
        for level, conv in enumerate(self.down):
            y = conv(y)
            if level < self.pools:
                y = F.max_pool2d(y, 2)
                skips.append(y)
        skips.pop()
        for convs in self.up:
            y = convs(torch.cat([F.interpolate(y, scale_factor=2.0), skips.pop()], dim=1))
        return self.out(y)


def _all_bands(x: Tensor, bands: tuple[int, ...], count: int) -> Tensor:
    """Bands that are missing are at the mean."""
    if len(bands) == count:
        return x
    whole = x.new_zeros(len(x), count, *x.shape[2:])
    whole[:, list(bands)] = x
    return whole


def _conv(inwards: int, out: int) -> nn.Sequential:
    conv = nn.Conv2d(inwards, out, 3, padding=1)
    nn.init.kaiming_normal_(conv.weight, a=0.1)
    nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
    return nn.Sequential(conv, nn.LeakyReLU(0.1))
