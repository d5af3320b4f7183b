"""Multiple-instance learning: a volume is a bag of crops or slices, and the label is the bag's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from manyviews.batch import Batch, Labelled
from manyviews.downstream import LabelledUnits, Net
from manyviews.encoder import Encoder
from manyviews.errors import DataError
from manyviews.evaluate.embed import device_of
from manyviews.finetuning.units import ClassAnswers, Classification
from manyviews.objective import Unit
from manyviews.source import Source
from manyviews.view import View
from manyviews_medical.nets.mil import AttentionMIL, PrototypeMIL
from manyviews_medical.source import VolumeSource

Share = Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True)
class BagReader:
    """The instances of each volume, some of them by chance where there are more than are wanted."""

    source: VolumeSource
    truth: Int[np.ndarray, "samples"]
    instances: int

    def __call__(self, index: Int[np.ndarray, "bags"], generator: np.random.Generator) -> Batch:
        count = min(self.instances, self.source.crops)
        chosen = np.stack([generator.permutation(self.source.bag(number))[:count] for number in index.tolist()])
        return Labelled(self.source.batch(chosen.flatten()), torch.from_numpy(self.truth[index]))


class Bags(Classification):
    """Classifies volumes by their crops: `data.crops` of each are its bag, which alone has a label.

    Args:
        pool: `attention`: gated attention over instances (Ilse et al. 2018). `prototypes`: instances are likened to
            prototypes of the
            classes, and the most typical ones speak for the bag.
        instances: Crops of a bag that a training step sees; all are seen when it is answered.
        hidden: Width of the attention's hidden layer.
        prototypes: Prototypes of each class.
        top: Share of the instances that speak for a bag with prototypes.
        balanced: Weigh each class by the inverse of its frequency among the labels given.
        smoothing: Label smoothing.
    """

    def __init__(
        self,
        *,
        pool: Literal["attention", "prototypes"] = "attention",
        instances: PositiveInt = 8,
        hidden: PositiveInt = 64,
        prototypes: PositiveInt = 4,
        top: Share = 0.25,
        balanced: bool = False,
        smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__(hidden=hidden, balanced=balanced, smoothing=smoothing)
        self.pool, self.instances, self.prototypes, self.top = pool, instances, prototypes, top

    def units(self, source: Source, encoder: Encoder, unit: Unit) -> LabelledUnits:
        every = super().units(_volumes(source), encoder, "sample")
        first = np.arange(len(every.owners)) < len(_volumes(source).volumes)
        return LabelledUnits(every.owners, np.where(first, every.splits, ""), every.strata, every.groups)

    def head(self, encoder: Encoder, answers: ClassAnswers, unit: Unit) -> nn.Module:
        width, out = encoder.pooled_width, len(answers.classes)
        if self.pool == "attention":
            return AttentionMIL(width, hidden=self.hidden or width, out=out)
        return PrototypeMIL(width, prototypes=self.prototypes, out=out, top=self.top)

    def reader(self, source: Source, units: LabelledUnits, chosen: Int[np.ndarray, "chosen"]) -> BagReader:  # type: ignore[override]
        values = self.values(source, units).values
        truth = np.full_like(values, -1)
        truth[chosen] = values[chosen]
        return BagReader(_volumes(source), truth, self.instances)

    def outputs(self, net: Net, batch: Labelled) -> Float[Tensor, "bags classes"]:
        return self._said(net, batch.batch, len(batch.truth))

    def _said(self, net: Net, instances: Any, bags: int) -> Float[Tensor, "bags classes"]:
        pooled = net.encoder(View(instances, net.encoder.layout(instances))).pooled
        said: Tensor = net.head(pooled.reshape(bags, -1, pooled.shape[1]))
        return said

    def predict(
        self, net: Net, answers: Any, source: Source, samples: Int[np.ndarray, "samples"]
    ) -> Iterator[tuple[Int[np.ndarray, "samples"], Float[np.ndarray, "bags classes"]]]:
        volumes = _volumes(source)
        for number in samples.tolist():
            batch = volumes.batch(volumes.bag(number)).to(device_of(net))
            with torch.no_grad():
                said = self.finished(self._said(net, batch, 1).float(), answers)
            yield np.array([number]), said.cpu().numpy()


def _volumes(source: Source) -> VolumeSource:
    if not isinstance(source, VolumeSource):
        raise DataError(f"bags: a bag is the crops of a volume, and {type(source).__name__} has none")
    return source
