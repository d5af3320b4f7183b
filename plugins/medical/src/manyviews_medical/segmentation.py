"""Segmentation: finetuned on crops, answered for whole volumes by a sliding window, judged on the grid of the files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from manyviews.batch import Labelled
from manyviews.downstream import LabelledUnits, Net
from manyviews.encoder import Encoder
from manyviews.evaluate.embed import device_of
from manyviews.finetuning.dense import Dense, MapAnswers, confusion, scores
from manyviews.objective import Unit
from manyviews.source import Source
from manyviews_medical.batch import VolumeBatch
from manyviews_medical.encoder import as_volume_encoder
from manyviews_medical.grid import Grid, back
from manyviews_medical.nets.dense import DenseDecoder, balanced_class_init
from manyviews_medical.places import PLANES
from manyviews_medical.surface import surface_scores
from manyviews_medical.views.looks import PLAIN, Looks, changed
from manyviews_medical.views.moves import Moves, draw


class SegmentationHead(nn.Module):
    """The decoder behind an encoder's maps."""

    def __init__(self, decoder: DenseDecoder) -> None:
        super().__init__()
        self.decoder = decoder
        balanced_class_init(decoder.last)

    def forward(
        self, maps: tuple[Float[Tensor, "samples _ ..."], ...], size: tuple[int, ...]
    ) -> Float[Tensor, "samples classes *size"]:
        """Logits of each voxel of the crop."""
        return self.decoder(maps)


class Segmentation(Dense):
    """A class for each voxel of a volume.

    Reports Dice, IoU, the 95th percentile of surface distances (`hd95`, mm) and the share of the surface within
    `tolerance` of the
    other's (`nsd`; Nikolov et al. 2018) on the grid of the files, each class's own too. Volumes are answered by windows
    of the size
    of a crop that overlap, blended by a Gaussian (Isensee et al. 2021).

    Args:
        dice: Weight of the soft Dice loss beside the cross-entropy; 0: none.
        background: Whether class 0 is reported, and counts in the means and in the Dice loss.
        width: Channels of the decoder at full size, for encoders that have none of their own.
        overlap: Share by which neighbouring windows overlap.
        tolerance: Of `nsd`, in millimetres.
        surface: Whether `hd95` and `nsd` are reported; distances take longer than answers where volumes are large or many.
        moves: Changes of place and direction of training crops, as the views have them; flipped left to right alone,
            since above and
            below, front and back are what many classes are told by.
        looks: Changes of their numbers; null: none.
    """

    better: Mapping[str, Literal["higher", "lower"]] = {**Dense.better, "nsd": "higher", "hd95": "lower"}

    def __init__(
        self,
        *,
        dice: NonNegativeFloat = 1.0,
        background: bool = False,
        width: PositiveInt = 16,
        overlap: Annotated[float, Field(ge=0, lt=1)] = 0.5,
        tolerance: PositiveFloat = 1.0,
        surface: bool = True,
        moves: Moves = Moves(flip=(0,), rotate=15.0, scale=(0.85, 1.15)),  # noqa: B008 - frozen
        looks: Looks | None = Looks(),  # noqa: B008 - frozen
    ) -> None:
        super().__init__(dice=dice, background=background)
        self.width, self.overlap, self.tolerance, self.surface = width, overlap, tolerance, surface
        self.moves, self.looks = moves, looks or PLAIN

    def head(self, encoder: Encoder, answers: MapAnswers, unit: Unit) -> nn.Module:
        own = as_volume_encoder(encoder, "segmentation")
        return SegmentationHead(DenseDecoder(own.spec.axes, own.scales, out=len(answers.classes), width=self.width))

    def augment(self, batch: Labelled, generator: torch.Generator) -> Labelled:
        """Crops and labels moved alike, numbers changed."""
        whole: VolumeBatch = batch.batch.scaled()
        placement = draw(whole, self.moves, generator)
        voxels = placement.of(whole.voxels)
        voxels = changed(voxels, self.looks, generator) if self.looks != PLAIN else voxels
        return Labelled(whole.showing(voxels), placement.label(batch.truth))

    def infer(
        self, net: Net, answers: MapAnswers, batch: VolumeBatch, size: tuple[int, ...]
    ) -> Float[Tensor, "samples classes *size"]:
        from monai.inferers.utils import sliding_window_inference

        spec = as_volume_encoder(net.encoder, "segmentation").spec
        voxels = batch.scaled(next(net.encoder.parameters()).dtype).voxels
        assert batch.grids is not None

        def said(windows: Tensor) -> Tensor:
            shown = VolumeBatch(windows, None, None)
            return self.logits(net, shown, tuple(windows.shape[2:])).softmax(1)

        across = None if spec.axes == 3 else 2 + PLANES[spec.plane]
        # Slices are windows too: their axis becomes that of samples.
        inputs = voxels if across is None else voxels[0].movedim(across - 1, 0)
        found: Tensor = sliding_window_inference(inputs, spec.crop, 4, said, overlap=self.overlap, mode="gaussian")  # type: ignore[assignment]
        found = found[0] if across is None else found.movedim(0, across - 1)
        return back(found, *batch.grids)[None]

    def evaluate(
        self, net: Net, answers: MapAnswers, source: Source, units: LabelledUnits, rows: Int[np.ndarray, "rows"]
    ) -> Mapping[str, float]:
        device, counts, surfaces = device_of(net), [], []
        for sample in units.samples(rows):
            whole = source.labelled(np.array([sample]), None)
            truth: Tensor = whole.truth
            said = self.infer(net, answers, whole.batch.to(device), tuple(truth.shape[1:])).argmax(1).cpu()
            counts.append(confusion(said, truth, len(answers.classes)).numpy())
            if not self.surface:
                continue
            grid: Grid = whole.batch.grids[1]
            surfaces.append(surface_scores(said[0].numpy(), truth[0].numpy(), answers.classes, grid.spacing, self.tolerance))
        return {**scores(np.stack(counts), answers.classes, background=self.background), **_means(surfaces)}


def _means(each: list[dict[str, float]]) -> dict[str, float]:
    """Of each measure over the volumes in which it is defined, and over classes."""
    names = sorted({name for found in each for name in found})
    own = {name: float(np.mean([found[name] for found in each if name in found])) for name in names}
    whole: dict[str, Any] = {}
    for measure in ("hd95", "nsd"):
        of_classes = [value for name, value in own.items() if name.startswith(f"{measure}/")]
        whole |= {measure: float(np.mean(of_classes))} if of_classes else {}
    return {**whole, **own}
