"""A residual CNN for images of any bands."""

from __future__ import annotations

import math
from typing import Annotated

from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews.errors import UserError
from manyviews_satellite.encoder import Pool
from manyviews_satellite.images import BandConv, ImageEncoder
from manyviews_satellite.spec import TileSpec

GROUPS = 8


class Residual(nn.Module):
    """Two convolutions and a shortcut (He et al. 2016), with group norms: tiles of a batch do not see one another."""

    def __init__(self, inwards: int, out: int, stride: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(inwards, out, 3, stride, 1, bias=False)
        self.two = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = _norm(out), _norm(out)
        plain = stride == 1 and inwards == out
        self.short = nn.Identity() if plain else nn.Sequential(nn.Conv2d(inwards, out, 1, stride, bias=False), _norm(out))

    def forward(self, x: Float[Tensor, "images inwards rows cols"]) -> Float[Tensor, "images out h w"]:
        y = F.relu(self.norm1(self.one(x)))
        return F.relu(self.short(x) + self.norm2(self.two(y)))


class ResNet(ImageEncoder):
    """Stages of residual blocks, each half as large and twice as wide as the one before.

    Args:
        width: Width of a token, that of the last stage.
        stages: Stages; a token covers 2^stages pixels in each direction.
        blocks: Residual blocks of each stage.
        pool: What stands for a tile: the `mean` of its tokens; of those of its middle (`centre`); both end to end
            (`centre_mean`); or both of `each` date.
    """

    def __init__(
        self,
        spec: TileSpec,
        /,
        *,
        width: PositiveInt = 256,
        stages: Annotated[int, Field(ge=1, le=6)] = 3,
        blocks: PositiveInt = 2,
        pool: Pool = "mean",
    ) -> None:
        super().__init__(spec, width=width, patch=2**stages, pool=pool)
        if width % 2 ** (stages - 1):
            raise UserError(
                f"encoder.width: {width} does not halve {stages - 1} times; choose a multiple of {2 ** (stages - 1)}"
            )
        widths = [width // 2 ** (stages - 1 - stage) for stage in range(stages)]
        self.stem = BandConv(len(spec.bands), widths[0], 3, stride=2, bias=False)
        self.norm = _norm(widths[0])
        layers: list[nn.Module] = []
        for stage, out in enumerate(widths):
            before = widths[max(stage - 1, 0)]
            layers += [Residual(before if not block else out, out, 2 if stage and not block else 1) for block in range(blocks)]
        self.layers = nn.Sequential(*layers)

    def cells(self, x: Float[Tensor, "images given rows cols"], bands: tuple[int, ...]) -> Float[Tensor, "images width h w"]:
        return self.layers(F.relu(self.norm(self.stem(x, bands))))


def _norm(width: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(GROUPS, width), width)
