"""What tasks of pixels share: scores over all pixels together, as the field reports them, and flips in training."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from manyviews.batch import Labelled
from manyviews.downstream import LabelledUnits, Net
from manyviews.encoder import Encoder
from manyviews.errors import UserError
from manyviews.evaluate.embed import device_of
from manyviews.finetuning.dense import Dense, MapAnswers, confusion, scores
from manyviews.source import Source
from manyviews_satellite.batch import TileBatch
from manyviews_satellite.encoder import TileEncoder
from manyviews_satellite.unet import UNet


class Pixels(Dense, ABC):
    """Dice is the F1 score. IoU and F1 of a class are of all pixels of all tiles together, not means over tiles."""

    def augment(self, batch: Labelled, generator: torch.Generator) -> Labelled:
        """Turns by quarters and mirrors, one for the whole batch."""
        tiles: TileBatch = batch.batch
        turn, mirror = (int(part) for part in torch.randint(4, (2,), generator=generator, device=generator.device).tolist())

        def moved(x: Tensor) -> Tensor:
            x = torch.rot90(x, turn, (-2, -1))
            return x.flip(-1) if mirror % 2 else x

        valid = None if tiles.valid is None else moved(tiles.valid)
        pixels = tiles.pixels if tiles.pixels.is_floating_point() else tiles.pixels.float()  # PyTorch flips no uint16
        return Labelled(replace(tiles, pixels=moved(pixels), valid=valid), moved(batch.truth))

    def evaluate(
        self, net: Net, answers: MapAnswers, source: Source, units: LabelledUnits, rows: Int[np.ndarray, "rows"]
    ) -> Mapping[str, float]:
        device = device_of(net)
        total = np.zeros((len(answers.classes),) * 2, np.int64)
        for sample in units.samples(rows):
            whole: Any = source.labelled(np.array([sample]), None).to(device)
            said = self.infer(net, answers, whole.batch, tuple(whole.truth.shape[1:])).argmax(1)
            total += confusion(said, whole.truth, len(answers.classes)).cpu().numpy()
        return scores(total[None], answers.classes, background=self.background)


def patch_of(encoder: Encoder) -> int:
    """Side of a token in pixels.

    Raises:
        UserError: An encoder of another domain.
    """
    if isinstance(encoder, UNet):
        return 1
    if not isinstance(encoder, TileEncoder):
        raise UserError(f"tasks of pixels need an encoder of images; {type(encoder).__name__} is none")
    return encoder.patch
