"""MONAI's Swin Transformer of Swin UNETR as an encoder."""

from __future__ import annotations

import torch
from jaxtyping import Float
from monai.networks.nets.swin_unetr import SwinTransformer
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews.encoding import Encoding
from manyviews.view import View
from manyviews_medical.encoder import Scale, VolumeEncoder
from manyviews_medical.nets.conv import CONV
from manyviews_medical.patches import as_tokens, grid_of, withheld
from manyviews_medical.spec import VolumeSpec

STAGES = 4


class SwinUNETR(VolumeEncoder):
    """The encoder of Swin UNETR (Hatamizadeh et al. 2022, Tang et al. 2022) by MONAI: windows of attention at five scales.

    A token is 16 `patch` voxels a side (32 as published): crops are multiples of that. Hidden tokens' voxels give way to
    a learned value, as in SimMIM.

    Args:
        width: Width of a token.
        channels: Width at the finest scale, a multiple of 12; a token is 16 times as wide. 48 as published.
        patch: Voxels of the first patches along each axis.
        depths: Blocks of each stage.
        heads: Attention heads of each stage.
        window: Cells of a window along each axis.
    """

    def __init__(
        self,
        spec: VolumeSpec,
        /,
        *,
        width: PositiveInt = 192,
        channels: PositiveInt = 24,
        patch: PositiveInt = 2,
        depths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (2, 2, 2, 2),
        heads: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = (3, 6, 12, 24),
        window: PositiveInt = 7,
    ) -> None:
        super().__init__(spec, width=width, patch=patch * 2 ** (STAGES - 1))
        axes = spec.axes
        grid_of(spec.crop, patch * 2**STAGES)
        self.mask = nn.Parameter(torch.zeros(spec.channels))
        self.net = SwinTransformer(
            in_chans=spec.channels,
            embed_dim=channels,
            window_size=(window,) * axes,
            patch_size=(patch,) * axes,
            depths=depths,
            num_heads=heads,
            spatial_dims=axes,
        )
        self.fine = CONV[axes](channels * 2 ** (STAGES - 1), width, 1)
        self.deep = CONV[axes](channels * 2**STAGES, width, 1)
        self.scales = (Scale(1, spec.channels), *(Scale(patch * 2**level, channels * 2**level) for level in range(STAGES + 1)))

    def forward(self, view: View) -> Encoding:
        return self.both(view)[0]

    def both(self, view: View) -> tuple[Encoding, tuple[Float[Tensor, "samples _ ..."], ...]]:
        """The voxels and the map of each scale."""
        x = withheld(view, self.mask, self.patch)
        grid_of(tuple(x.shape[2:]), 2 * self.patch)
        maps = self.net(x)
        fine = self.fine(maps[-2])
        deep = F.interpolate(self.deep(maps[-1]), size=fine.shape[2:], mode="nearest")
        tokens, lengths = as_tokens(fine + deep), view.layout.lengths
        return Encoding(tokens, None, lengths, lengths.mean(tokens)), (x, *maps)
