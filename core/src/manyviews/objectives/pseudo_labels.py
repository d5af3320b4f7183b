"""Learning from pseudo-labels that may be wrong: a margin softmax, a gate on the loss, and corrected labels.

Second stage of cluster-aware DINO for speakers (Han, Chen & Qian 2024), in the form of DLG-LC (Han et al. 2022): units are
classified by the cluster that an encoder pretrained before puts them into. Labels whose loss lies above a dynamic gate are
not believed; where the net itself is sure of another answer on the sample as it is, that answer takes their place.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews import distributed
from manyviews.batch import Batch, OwnBatch
from manyviews.encoder import Encoder
from manyviews.layout import Layout
from manyviews.moving import taken
from manyviews.nets.heads import Prototypes
from manyviews.objective import Branch, Loss, Objective
from manyviews.objectives.clusters import Clusters
from manyviews.objectives.gate import LossGate
from manyviews.objectives.shared import embed, exact, perplexity, taught
from manyviews.traits import Trait
from manyviews.view import View


def margin_logits(
    cosines: Float[Tensor, "*views units classes"], labels: Int[Tensor, "units"], scale: float, margin: float
) -> Float[Tensor, "*views units classes"]:
    """s cos(θ + m) at a unit's own class, s cos θ elsewhere (Deng et al. 2019, ArcFace, equation 3)."""
    own = F.one_hot(labels, cosines.shape[-1]).bool()
    limited = cosines.clamp(-1 + 1e-7, 1 - 1e-7)  # the angle has no finite slope at its ends
    moved = torch.cos(torch.acos(limited) + margin)
    # Beyond θ + m = π the cosine would rise again: there it goes on falling in a straight line, as published code has it.
    far = limited <= -math.cos(margin)
    moved = torch.where(far, limited - margin * math.sin(margin), moved)
    return scale * torch.where(own, moved, cosines)


def label_losses(
    cosines: Float[Tensor, "views units classes"], labels: Int[Tensor, "units"], scale: float, margin: float
) -> Float[Tensor, "units"]:
    """Cross-entropy of the margin softmax, mean over views."""
    logits = margin_logits(cosines, labels, scale, margin)
    every = labels.repeat(len(cosines))
    return F.cross_entropy(logits.flatten(0, 1), every, reduction="none").reshape(len(cosines), -1).mean(0)


def correction_losses(
    cosines: Float[Tensor, "views units classes"], seen: Sequence[int], scale: float, sharpen: float, sure: float
) -> tuple[Bool[Tensor, "units"], Float[Tensor, "units"]]:
    """Where the net is sure of an answer, and the cross-entropy of all views with that answer, sharpened (Han 2022).

    Args:
        seen: Views that the answer is taken from: the global ones, without gradient.
        sure: Probability of the likeliest class.
    """
    logits = scale * cosines
    with torch.no_grad():
        answer = taken(logits, 0, seen).mean(0)
        target = (answer / sharpen).softmax(-1)
    losses = -(target * logits.log_softmax(-1)).sum(-1).mean(0)
    return answer.softmax(-1).amax(-1) > sure, losses


class Classifier(nn.Module):
    """Cosines with a direction for each class."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.prototypes = Prototypes(width, classes)

    def forward(self, units: Float[Tensor, "units width"]) -> Float[Tensor, "units classes"]:
        cosines: Tensor = self.prototypes(units)
        return cosines


class PseudoLabelled(Objective):
    """Margin softmax on the clusters of units below the gate; corrected labels above it.

    Clusters are found before the first step, of samples or, with `unit: token`, of tokens, and are part of every checkpoint.
    Good ones are those of a finished `run`; those of raw content are as good as that.

    Args:
        classes: Clusters; about as many as there are kinds of things, or more.
        run: Folder of a finished run on these data in whose embedding clusters are found; null: in raw content.
        fit_units: Units of training samples that clusters are found on.
        fit_seed: Of the clustering.
        scale: Of the cosines.
        margin: Angle by which a unit's own class must win, in radians.
        window: Losses that the gate is fitted on: those of about an epoch.
        warmup_batches: Batches at first in which all labels are believed.
        sure: Probability from which the net's own answer on global views replaces a label that is not believed.
        sharpen: Temperature of that answer as a target: below 1 makes it more certain.
        correction_weight: Of the loss of corrected labels.
    """

    needs = frozenset({Trait.SEVERAL_VIEWS, Trait.TOKEN_TARGETS})
    across = "mean over the units of all processes, which share clusters and gate"
    batches: Tensor
    clusters: Clusters

    def __init__(
        self,
        *,
        classes: Annotated[PositiveInt, Field(ge=2)] = 100,
        run: str | None = None,
        fit_units: PositiveInt = 20_000,
        fit_seed: NonNegativeInt = 0,
        scale: PositiveFloat = 30.0,
        margin: Annotated[float, Field(ge=0, lt=1.5)] = 0.2,
        window: PositiveInt = 8192,
        warmup_batches: NonNegativeInt = 200,
        sure: Annotated[float, Field(gt=0, lt=1)] = 0.5,
        sharpen: Annotated[float, Field(gt=0, le=1)] = 0.1,
        correction_weight: NonNegativeFloat = 1.0,
    ) -> None:
        super().__init__()
        self.classes, self.fit_units, self.fit_seed = classes, fit_units, fit_seed
        self.scale, self.margin = scale, margin
        self.warmup_batches, self.sure, self.sharpen, self.correction_weight = warmup_batches, sure, sharpen, correction_weight
        self.gate = LossGate(window)
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))
        if run is not None:
            from manyviews.engine.load import load_frozen  # the engine stands on objectives, not they on it

            self.frozen = load_frozen(run)
            self.needs = self.needs - {Trait.TOKEN_TARGETS}

    def predictor(self, encoder: Encoder, width: int) -> nn.Module:
        self.clusters = Clusters(self.classes, self.unit, encoder, self.frozen)
        return Classifier(width, self.classes)

    def prepare(self, encoder: Encoder, batches: Iterator[Batch]) -> None:
        """Find the clusters on the first `fit_units` units of training batches."""
        self.clusters.fit(encoder, batches, self.fit_units, self.fit_seed)

    def answer(self, encoder: Encoder, batch: OwnBatch, layout: Layout) -> Int[Tensor, "units"]:
        """The cluster of each unit."""
        return self.clusters(encoder, batch, layout)  # type: ignore[no-any-return]

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        assert student.predictor is not None
        labels, seen = views[0].target, taught(views, "pseudo_labels")
        units = embed(views, student, "pseudo_labels")
        with exact(units):
            cosines = torch.stack([student.predictor(view) for view in units])
            believed = label_losses(cosines, labels, self.scale, self.margin)
            sure, corrected = correction_losses(cosines, seen, self.scale, self.sharpen, self.sure)
            trusted = (believed.detach() <= self.gate.threshold()) | (self.batches < self.warmup_batches)
            instead = torch.where(sure, self.correction_weight * corrected, 0.0)
            value = distributed.mean(torch.where(trusted, believed, instead))
        if self.training:
            self.gate.add(distributed.gather(believed.detach()))
            self.batches.add_(1)
        share = {"believed": trusted, "corrected": ~trusted & sure}
        metrics = {name: distributed.mean(where.to(believed.dtype)).detach() for name, where in share.items()}
        metrics |= {"gate": self.gate.threshold(), "label_loss": distributed.mean(believed).detach()}
        return Loss(value, metrics | {"perplexity": perplexity(labels, self.classes)})
