"""Label maps: a class for every voxel, pixel or frame of a sample. A domain brings the head and how whole samples are answered.

Trained on crops by cross-entropy and soft Dice (Milletari et al. 2016; their sum as in nnU-Net, Isensee et al. 2021), reported
on whole samples: Dice and IoU of each class that occurs, from the counts of each sample.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import NonNegativeFloat
from torch import Tensor
from torch.nn import functional as F

from manyviews import distributed
from manyviews.batch import Batch, Labelled, OwnBatch
from manyviews.downstream import Answers, Downstream, LabelledUnits, Net
from manyviews.encoder import Encoder
from manyviews.errors import DataError
from manyviews.evaluate.embed import device_of
from manyviews.objective import Loss, Unit
from manyviews.objectives.shared import full
from manyviews.objectives.soft_dice import soft_dice
from manyviews.source import DenseLabels, Source
from manyviews.traits import Trait
from manyviews.view import View

IGNORE = -1
"""In a label map: not labelled."""


class MapAnswers(Answers):
    """The classes of a label map."""

    name: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class CropReader:
    """Crops with their label maps."""

    source: Source

    def __call__(self, index: Int[np.ndarray, "samples"], generator: np.random.Generator) -> Batch:
        return self.source.labelled(index, generator)


class Dense(Downstream):
    """Segmentation. A domain's own is a subclass with a `head`, and an `infer` where samples are larger than a crop.

    Reports `dice` and `iou` (means over the classes that are reported, and over samples), each class's own as `dice/<class>`,
    and `accuracy` of all labelled places.

    Args:
        dice: Weight of the soft Dice loss beside the cross-entropy; 0: none.
        background: Whether class 0 is reported, and counts in the means and in the Dice loss.
    """

    needs = frozenset({Trait.FEATURE_MAPS})
    answers = MapAnswers
    better: Mapping[str, Literal["higher", "lower"]] = {"dice": "higher", "iou": "higher", "accuracy": "higher"}
    chosen_by = "dice"

    def __init__(self, *, dice: NonNegativeFloat = 1.0, background: bool = False) -> None:
        self.dice, self.background = dice, background

    @abstractmethod
    def head(self, encoder: Encoder, answers: MapAnswers, unit: Unit) -> torch.nn.Module:
        """A module called as `head(maps, size)`: the encoder's maps, finest first, and the size of the label map; gives logits
        "samples classes *size"."""

    def augment(self, batch: Labelled, generator: torch.Generator) -> Labelled:
        """The batch that is trained on, altered together with its label maps (flips, gains), on the device."""
        return batch

    def infer(
        self, net: Net, answers: MapAnswers, batch: OwnBatch, size: tuple[int, ...]
    ) -> Float[Tensor, "samples classes *size"]:
        """Class probabilities of a whole sample. In one pass here; by a sliding window where whole samples do not fit."""
        return self.logits(net, batch, size).softmax(1)

    def logits(self, net: Net, batch: OwnBatch, size: tuple[int, ...]) -> Float[Tensor, "samples classes *size"]:
        """The head's, of what the encoder is shown at once."""
        logits: Tensor = net.head(net.encoder.maps(View(batch, net.encoder.layout(batch))), size)
        return full(logits)

    def units(self, source: Source, encoder: Encoder, unit: Unit) -> LabelledUnits:
        labels = self.labels(source)
        splits = source.splits() if labels.splits is None else labels.splits
        return LabelledUnits(np.arange(len(source)), np.where(labels.known, splits, ""), groups=source.groups())

    def labels(self, source: Source) -> DenseLabels:
        """The source's label maps."""
        labels = source.dense_labels()
        if labels is None:
            raise DataError(f"{type(source).__name__} has no label maps to finetune on: name them in `data`")
        return labels

    def learn(self, source: Source, units: LabelledUnits, chosen: Int[np.ndarray, "chosen"]) -> MapAnswers:
        labels = self.labels(source)
        return MapAnswers(name=labels.name, classes=labels.classes)

    def reader(self, source: Source, units: LabelledUnits, chosen: Int[np.ndarray, "chosen"]) -> CropReader:
        return CropReader(source)

    def loss(self, net: Net, answers: MapAnswers, batch: Labelled, generator: torch.Generator) -> Loss:
        batch = self.augment(batch, generator)
        truth: Tensor = batch.truth
        return self.loss_of(self.logits(net, batch.batch, tuple(truth.shape[1:])), truth)

    def loss_of(self, logits: Float[Tensor, "samples classes *size"], truth: Int[Tensor, "samples *size"]) -> Loss:
        """Cross-entropy, and soft Dice of the classes that count."""
        entropy = cross_entropy(logits, truth)
        if not self.dice:
            return Loss(entropy)
        overlap = soft_dice(logits.softmax(1), truth, truth != IGNORE)[0 if self.background else 1 :].mean()
        return Loss(entropy + self.dice * (1 - overlap), {"cross_entropy": entropy.detach(), "soft_dice": overlap.detach()})

    def evaluate(
        self, net: Net, answers: MapAnswers, source: Source, units: LabelledUnits, rows: Int[np.ndarray, "rows"]
    ) -> Mapping[str, float]:
        device, counts = device_of(net), []
        for sample in units.samples(rows):
            whole = source.labelled(np.array([sample]), None).to(device)
            said = self.infer(net, answers, whole.batch, tuple(whole.truth.shape[1:])).argmax(1)
            counts.append(confusion(said, whole.truth, len(answers.classes)).cpu().numpy())
        return scores(np.stack(counts), answers.classes, background=self.background)

    def predict(
        self, net: Net, answers: Any, source: Source, samples: Int[np.ndarray, "samples"]
    ) -> Iterator[tuple[Int[np.ndarray, "samples"], Int[np.ndarray, "samples *size"]]]:
        """A label map for each sample, at its own size."""
        device = device_of(net)
        for sample in samples:
            batch, size = source.whole(int(sample))
            with torch.no_grad():
                said = self.infer(net, answers, batch.to(device), size).argmax(1)
            yield np.array([sample]), said.cpu().numpy()


def cross_entropy(logits: Float[Tensor, "samples classes *size"], truth: Int[Tensor, "samples *size"]) -> Float[Tensor, ""]:
    """Mean over the labelled places of all processes; zero where there is none (a crop without a label)."""
    values = F.cross_entropy(logits, truth, ignore_index=IGNORE, reduction="none")
    return distributed.mean(values.flatten(), (truth != IGNORE).flatten())


def confusion(
    said: Int[Tensor, "samples *size"], truth: Int[Tensor, "samples *size"], classes: int
) -> Int[Tensor, "truth said"]:
    """How many labelled places of each class were said to be of each."""
    known = truth != IGNORE
    pairs = truth[known] * classes + said[known]
    return torch.bincount(pairs.flatten(), minlength=classes**2).reshape(classes, classes)


def scores(counts: Int[np.ndarray, "samples truth said"], classes: tuple[str, ...], *, background: bool) -> dict[str, float]:
    """Dice and IoU of each class in each sample, averaged over the samples in which it is or was said; accuracy."""
    both = np.einsum("scc->sc", counts).astype(np.float64)
    there, said = counts.sum(2), counts.sum(1)
    with np.errstate(invalid="ignore"):
        dice, iou = 2 * both / (there + said), both / (there + said - both)
    first = 0 if background else 1
    found: dict[str, float] = {}
    for name, values in (("dice", dice), ("iou", iou)):
        seen = [c for c in range(first, len(classes)) if np.isfinite(values[:, c]).any()]
        each = {f"{name}/{classes[c]}": float(np.nanmean(values[:, c])) for c in seen}
        found |= {name: float(np.mean(list(each.values()))) if each else 0.0, **each}
    return {**found, "accuracy": float(both.sum() / max(counts.sum(), 1))}
