"""Swin UNETR's pretraining: which way it was turned, what was cut out, which two crops are one (Tang et al. 2022,
section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews import distributed
from manyviews.encoder import Encoder
from manyviews.objective import Branch, Loss, Objective
from manyviews.objectives.ntxent import ntxent
from manyviews.objectives.shared import exact, full, refuse_single
from manyviews.traits import Trait
from manyviews.view import View
from manyviews_medical.encoder import as_volume_encoder
from manyviews_medical.nets.dense import DenseDecoder


@dataclass(frozen=True)
class Turned:
    """By how many quarter turns a crop was rotated, and what it held before parts were cut out."""

    turns: Int[Tensor, "samples"]
    whole: Float[Tensor, "samples channels *space"]


class SwinHeads(nn.Module):
    """What each of the three tasks reads: classes of turns, a contrastive embedding, voxels."""

    def __init__(self, encoder: Encoder, width: int, out: int, dense: int) -> None:
        super().__init__()
        own = as_volume_encoder(encoder, "swin_ssl")
        self.turns, self.contrast = nn.Linear(width, 4), nn.Linear(width, out)
        self.voxels = DenseDecoder(own.spec.axes, own.scales, out=own.spec.channels, width=dense)

    def forward(
        self, pooled: Float[Tensor, "samples width"], maps: tuple[Float[Tensor, "samples _ ..."], ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits of turns, embeddings, voxels."""
        return self.turns(pooled), self.contrast(pooled), self.voxels(maps)


class SwinSSL(Objective):
    """Rotation (cross-entropy), in-painting (L1 over the whole crop) and contrast (NT-Xent), 1 : 1 : 1.

    Args:
        rotation: Weight of the rotation.
        inpainting: Weight of the in-painting.
        contrast: Weight of the contrast.
        temperature: Of the contrast.
        out: Width of the contrastive embedding.
        width: Channels of the in-painting's decoder at full size.
    """

    needs = frozenset({Trait.PRETEXT_TARGET, Trait.SEVERAL_VIEWS})
    target = Turned
    across = "rotation and in-painting: mean over all processes' samples; contrast: negatives from all processes"

    def __init__(
        self,
        *,
        rotation: NonNegativeFloat = 1.0,
        inpainting: NonNegativeFloat = 1.0,
        contrast: NonNegativeFloat = 1.0,
        temperature: PositiveFloat = 0.5,
        out: PositiveInt = 512,
        width: PositiveInt = 16,
    ) -> None:
        super().__init__()
        self.weights = (rotation, inpainting, contrast)
        self.temperature, self.out, self.width = temperature, out, width

    def predictor(self, encoder: Encoder, width: int) -> nn.Module:
        return SwinHeads(encoder, encoder.pooled_width, self.out, self.width)

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        assert student.predictor is not None
        encoder = as_volume_encoder(student.encoder, "swin_ssl")
        parts = []
        for view in views:
            encoding, maps = encoder.both(view)
            parts.append([full(part) for part in student.predictor(encoding.pooled, maps)])
        with exact(parts[0][0]):
            turned = torch.stack([rotation_error(turns, view.target) for (turns, _, _), view in zip(parts, views, strict=True)])
            filled = torch.stack(
                [filling_error(voxels, view.target) for (_, _, voxels), view in zip(parts, views, strict=True)]
            )
            agreed = contrast_error(torch.stack([z for _, z, _ in parts]), self.temperature)
        losses = {"rotation": turned.mean(), "inpainting": filled.mean(), "contrast": agreed}
        value = sum(weight * loss for weight, loss in zip(self.weights, losses.values(), strict=True))
        assert isinstance(value, Tensor)
        return Loss(value, {name: loss.detach() for name, loss in losses.items()})


def rotation_error(logits: Float[Tensor, "samples 4"], question: Turned) -> Float[Tensor, ""]:
    """Cross-entropy of the turns (Tang 2022, equation 3)."""
    return distributed.mean(F.cross_entropy(logits, question.turns, reduction="none"))


def filling_error(voxels: Float[Tensor, "samples channels *space"], question: Turned) -> Float[Tensor, ""]:
    """L1 over the whole crop, not over the holes alone (Tang 2022, equation 1)."""
    difference = (voxels - question.whole.to(voxels.dtype)).abs()
    return distributed.mean(difference.flatten(1).mean(1))


def contrast_error(z: Float[Tensor, "views samples out"], temperature: float) -> Float[Tensor, ""]:
    """NT-Xent over the views of all processes (Tang 2022, equation 4)."""
    each = distributed.counts(z.shape[1])
    refuse_single(sum(each), "swin_ssl")
    own = torch.arange(z.shape[1], device=z.device) + sum(each[: distributed.rank()])
    joined = distributed.gather(z.transpose(0, 1), each).transpose(0, 1)
    return distributed.mean(ntxent(z, joined, own, temperature).flatten())
