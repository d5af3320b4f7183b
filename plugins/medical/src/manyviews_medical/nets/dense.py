"""From maps of several scales to an answer for each voxel: the decoder of segmentation, of Volume Fusion and of in-painting."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews.errors import UserError
from manyviews_medical.encoder import Scale
from manyviews_medical.nets.conv import CONV, block, up


class DenseDecoder(nn.Module):
    """Upwards from the coarsest maps, joined with those of each finer scale on the way (U-Net, Ronneberger et al. 2015).

    An encoder that already gives a map of one cell a voxel, and only that, needs a linear layer alone.

    Args:
        axes: 2 or 3.
        scales: Of the encoder's maps, finest first; strides are powers of 2.
        out: Channels of an answer.
        width: Channels at one cell a voxel; twice as many at each coarser scale, up to 8 times.
    """

    def __init__(self, axes: int, scales: Sequence[Scale], *, out: int, width: int = 16) -> None:
        super().__init__()
        strides = sorted({scale.stride for scale in scales}, reverse=True)
        if any(stride & (stride - 1) for stride in strides):
            raise UserError(f"an answer for each voxel needs tokens of a power of 2 voxels a side; these have {strides[0]}")
        self.scales = tuple(scales)
        given = {stride: sum(scale.width for scale in scales if scale.stride == stride) for stride in strides}
        coarsest = strides[0]
        now = given[1] if coarsest == 1 else _width(width, coarsest)
        self.first: nn.Module = nn.Identity() if coarsest == 1 else block(axes, given[coarsest], now, kernel=1)
        self.larger, self.join = nn.ModuleList(), nn.ModuleList()
        stride = coarsest
        while stride > 1:
            stride //= 2
            then = _width(width, stride)
            joined = then + given.get(stride, 0)
            self.larger.append(up(axes, now, then))
            self.join.append(block(axes, joined, then))
            now = then
        self.last = CONV[axes](now, out, 1)

    def forward(self, maps: Sequence[Float[Tensor, "samples _ ..."]]) -> Float[Tensor, "samples out *space"]:
        """Numbers for each voxel; what they mean is the loss's."""
        by_stride: dict[int, list[Tensor]] = {}
        for scale, each in zip(self.scales, maps, strict=True):
            by_stride.setdefault(scale.stride, []).append(each if scale.stride == 1 else levelled(each))
        stride = max(by_stride)
        x = self.first(torch.cat(by_stride[stride], dim=1))
        for larger, join in zip(self.larger, self.join, strict=True):
            stride //= 2
            x = join(torch.cat([larger(x), *by_stride.get(stride, [])], dim=1))
        return self.last(x)


def levelled(tokens: Float[Tensor, "samples channels ..."]) -> Float[Tensor, "samples channels ..."]:
    """Each channel with mean 0 and deviation 1 over a sample's places, as UNETR's blocks have it (Ulyanov et al. 2016).

    What all tokens have in common is most of what a pretrained Transformer gives (95 to 99% of the energy after MAE), and
    a norm over groups of channels leaves next to nothing of what differs between places. A single place is left as it is.
    """
    return tokens if math.prod(tokens.shape[2:]) == 1 else F.instance_norm(tokens)


@torch.no_grad()
def balanced_class_init(last: nn.Conv2d | nn.Conv3d) -> None:
    """Weights with which a layer that says classes begins, in place of random ones: each class has channels of its own, as
    many as any other, that speak for it and against the others, at the usual size; no class is preferred.

    What the layer reads is rectified. By chance few channels may speak for a class (of eight channels one, for one of three
    classes); it comes to be told by all of them being off, where nothing of what it looks like is learnt any more, and the
    class is lost. Where there are more classes than channels, each speaks through half of the channels, drawn at random.
    """
    classes, channels = last.weight.shape[:2]
    if classes <= channels:
        own = torch.arange(channels) % classes == torch.arange(classes)[:, None]
    else:
        own = torch.rand(classes, channels).argsort(1) < (channels + 1) // 2
    # To a softmax the differences between classes are all there is.
    apart = own.float() - own.float().mean(0)
    rows = F.normalize(apart) / math.sqrt(3)  # the length that torch's own have on average
    last.weight.copy_(rows.view_as(last.weight))
    assert last.bias is not None
    last.bias.zero_()


def _width(finest: int, stride: int) -> int:
    return finest * min(stride, 8)
