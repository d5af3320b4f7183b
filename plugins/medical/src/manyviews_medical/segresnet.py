"""MONAI's SegResNet as an encoder."""

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Float
from monai.networks.nets.segresnet import SegResNet as MonaiSegResNet
from pydantic import Field, PositiveInt
from torch import Tensor

from manyviews_medical.spec import VolumeSpec
from manyviews_medical.ushaped import UShaped


class SegResNet(UShaped):
    """SegResNet (Myronenko 2018) by MONAI, down and up; the winner of BraTS 2018, and a strong plain net since.

    Args:
        width: Width of a token.
        channels: Channels at the finest level, a multiple of 8; twice as many at each deeper one.
        blocks_down: Residual blocks of each level on the way down; a token is 2^(levels-1) voxels a side.
        blocks_up: Residual blocks of each level on the way up, one level fewer.
    """

    def __init__(
        self,
        spec: VolumeSpec,
        /,
        *,
        width: PositiveInt = 128,
        channels: Annotated[int, Field(ge=8, multiple_of=8)] = 16,
        blocks_down: Annotated[tuple[PositiveInt, ...], Field(min_length=2)] = (1, 2, 2, 4),
        blocks_up: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1, 1, 1),
    ) -> None:
        levels = len(blocks_down)
        super().__init__(spec, width=width, patch=2 ** (levels - 1), deepest=channels * 2 ** (levels - 1), finest=channels)
        self.net = MonaiSegResNet(
            spatial_dims=spec.axes,
            init_filters=channels,
            in_channels=spec.channels,
            out_channels=channels,
            use_conv_final=False,
            blocks_down=blocks_down,
            blocks_up=blocks_up,
        )
        del self.net.conv_final

    def down_and_up(self, x: Float[Tensor, "samples channels *space"]) -> tuple[Tensor, Tensor]:
        """The deepest map, and the decoded one of a cell a voxel.

        On a CPU in float32 at least: its autocast leaves group norms in bf16, where gradients of flat regions (hidden ones, the
        outside of a volume) overflowed now and then. A GPU's autocast takes norms out itself.
        """
        x = x.float() if x.dtype == torch.bfloat16 and x.device.type == "cpu" else x
        with torch.autocast("cpu", enabled=False):
            deepest, levels = self.net.encode(x)
            return deepest, self.net.decode(deepest, list(reversed(levels)))
