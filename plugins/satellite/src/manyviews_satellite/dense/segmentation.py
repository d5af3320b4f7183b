"""Land cover, clouds, buildings: a class for every pixel."""

from __future__ import annotations

from jaxtyping import Float
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from manyviews.encoder import Encoder
from manyviews.finetuning.dense import MapAnswers
from manyviews.objective import Unit
from manyviews_satellite.dense.head import UpHead, doublings
from manyviews_satellite.dense.pixels import Pixels, patch_of


class SegmentationHead(nn.Module):
    """A head on the finest map."""

    def __init__(self, head: UpHead) -> None:
        super().__init__()
        self.head = head

    def forward(
        self, maps: tuple[Float[Tensor, "tiles _ _h _w"], ...], size: tuple[int, ...]
    ) -> Float[Tensor, "tiles classes rows cols"]:
        """Logits of each pixel."""
        return self.head(maps[0], size)


class Segmentation(Pixels):
    """A class for each pixel of a tile. The source is told `dense: true` and its `target`, a map or a folder of masks.

    Reports IoU and F1 (`dice`) of all pixels of all tiles together, each class's own too, and accuracy.

    Args:
        dice: Weight of the soft Dice loss beside the cross-entropy; 0: none.
        background: Whether class 0 is reported, and counts in the means and in the Dice loss.
        width: Channels of the head.
    """

    def __init__(self, *, dice: NonNegativeFloat = 1.0, background: bool = True, width: PositiveInt = 64) -> None:
        super().__init__(dice=dice, background=background)
        self.width = width

    def head(self, encoder: Encoder, answers: MapAnswers, unit: Unit) -> nn.Module:
        return SegmentationHead(UpHead(encoder.width, self.width, len(answers.classes), doublings(patch_of(encoder))))
