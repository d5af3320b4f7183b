"""Random convolutional features (MOSAIKS, Rolf et al. 2021): a baseline that nobody trains.

Gaussian filters of 3 x 3, a bias of -1, the positive parts of the response and of its negative, averaged over the tile.
Evaluate it untrained (`manyviews evaluate`'s row `untrained`); trained, it is a one-layer CNN.
"""

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews_satellite.encoder import Pool
from manyviews_satellite.images import BandConv, ImageEncoder
from manyviews_satellite.spec import TileSpec


class RandomFeatures(ImageEncoder):
    """Random convolutional features (Rolf et al. 2021), the baseline that learnt features have to beat.

    Args:
        width: Features: twice the number of filters.
        kernel: Rows and columns of a filter.
        bias: Added to each response.
        patch: Rows and columns that a token is the mean of.
        pool: What stands for a tile: the `mean` of its tokens; of those of its middle (`centre`); both end to end
            (`centre_mean`); or both of `each` date.
    """

    def __init__(
        self,
        spec: TileSpec,
        /,
        *,
        width: Annotated[int, Field(ge=2, multiple_of=2)] = 512,
        kernel: Annotated[int, Field(ge=1)] = 3,
        bias: float = -1.0,
        patch: PositiveInt = 8,
        pool: Pool = "mean",
    ) -> None:
        super().__init__(spec, width=width, patch=patch, pool=pool)
        self.filters = BandConv(len(spec.bands), width // 2, kernel)
        nn.init.normal_(self.filters.weight)
        assert self.filters.bias is not None
        nn.init.constant_(self.filters.bias, bias)

    def cells(self, x: Float[Tensor, "images given rows cols"], bands: tuple[int, ...]) -> Float[Tensor, "images width h w"]:
        """The negative part is taken with the same bias: relu(-(w x) + bias)."""
        assert self.filters.bias is not None
        shift = self.filters.bias[:, None, None]
        response = self.filters(x, bands) - shift
        both = torch.cat([F.relu(response + shift), F.relu(shift - response)], dim=1)
        return F.avg_pool2d(both, self.patch)
