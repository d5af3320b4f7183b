"""What has changed between two dates: one encoder looks at both, a head at what it made of them (PeftCD).

The encoder stays as it was pretrained but for what `method: lora` or `adapters` adds. Features of several of its layers are
compared; those of alternate layers are exchanged between the dates first, so that the head learns changes and not dates.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews.downstream import Net
from manyviews.encoder import Encoder
from manyviews.errors import UserError
from manyviews.finetuning.dense import MapAnswers
from manyviews.objective import Unit
from manyviews.traits import Trait
from manyviews.view import View
from manyviews_satellite.batch import TileBatch
from manyviews_satellite.dense.head import UpHead, doublings
from manyviews_satellite.dense.pixels import Pixels, patch_of
from manyviews_satellite.encoder import TileEncoder

Levels = list[Float[Tensor, "tiles width h w"]]


class ChangeHead(nn.Module):
    """Each level of two dates made one map, their sum decoded."""

    def __init__(self, inwards: int, width: int, classes: int, levels: int, up: int) -> None:
        super().__init__()
        self.fuse = nn.ModuleList(nn.Conv2d(3 * inwards, width, 1) for _ in range(levels))
        self.head = UpHead(width, width, classes, up)

    def forward(self, before: Levels, after: Levels, size: tuple[int, ...]) -> Float[Tensor, "tiles classes rows cols"]:
        fused = []
        for level, (fuse, one, two) in enumerate(zip(self.fuse, before, after, strict=True)):
            first, second = (two, one) if level % 2 else (one, two)
            fused.append(F.gelu(fuse(torch.cat([first, second, (first - second).abs()], dim=1))))
        return self.head(torch.stack(fused).sum(0), size)


class Change(Pixels):
    """A class for each pixel of a pair of dates: class 0 is no change. The source is told `dense: true`, `dates: 2` or `pairs`.

    Reports IoU and F1 (`dice`) of the classes of change, of all pixels together.

    Args:
        dice: Weight of the soft Dice loss beside the cross-entropy; 0: none.
        background: Whether class 0 is reported, and counts in the means and in the Dice loss.
        width: Channels of the head.
        levels: Layers of the encoder that are compared, evenly over its depth; of encoders that do not give theirs, the last.
    """

    def __init__(
        self, *, dice: NonNegativeFloat = 1.0, background: bool = False, width: PositiveInt = 64, levels: PositiveInt = 4
    ) -> None:
        super().__init__(dice=dice, background=background)
        self.width, self.levels = width, levels

    def head(self, encoder: Encoder, answers: MapAnswers, unit: Unit) -> nn.Module:
        patch = patch_of(encoder)
        count = min(self.levels, len(encoder.stages())) if Trait.LAYERS in encoder.offers else 1
        return ChangeHead(encoder.width, self.width, len(answers.classes), count, doublings(patch))

    def logits(self, net: Net, batch: TileBatch, size: tuple[int, ...]) -> Float[Tensor, "tiles classes rows cols"]:
        if batch.dates != 2:
            raise UserError(
                f"satellite/change compares two dates, and a sample has {batch.dates}: set data.dates=2 or data.pairs"
            )
        assert isinstance(net.head, ChangeHead)
        before, after = (self._levels(net.encoder, batch.at_dates([date]), len(net.head.fuse)) for date in (0, 1))
        logits: Tensor = net.head(before, after, size)
        return logits.float()

    def _levels(self, encoder: Encoder, batch: TileBatch, count: int) -> Levels:
        """Maps of so many layers, evenly chosen, the last one among them."""
        layout = encoder.layout(batch)
        if Trait.LAYERS not in encoder.offers or not isinstance(encoder, TileEncoder):
            return [encoder.maps(View(batch, layout))[0]]
        layers = encoder(View(batch, layout, layers=True)).layers
        chosen = [round((number + 1) * len(layers) / count) - 1 for number in range(count)]
        return [encoder.folded(layers[number], batch) for number in chosen]
