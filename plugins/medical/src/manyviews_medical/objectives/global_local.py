"""Contrast of whole crops and of their regions (Chaitanya et al. 2020): what lies at one height of the body is alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from einops import einsum
from jaxtyping import Bool, Float, Int
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews import distributed
from manyviews.encoder import Encoder
from manyviews.errors import UserError
from manyviews.nets.heads import MLPHead
from manyviews.objective import Branch, Loss, Objective
from manyviews.objectives.shared import exact, full, refuse_few_views, refuse_single
from manyviews.traits import Trait
from manyviews.view import View
from manyviews_medical.encoder import as_volume_encoder
from manyviews_medical.nets.dense import DenseDecoder


@dataclass(frozen=True)
class Part:
    """The part of its volume that each sample is from."""

    number: Int[Tensor, "samples"]


def contrast(
    anchors: Float[Tensor, "anchors out"],
    candidates: Float[Tensor, "all out"],
    positive: Bool[Tensor, "anchors all"],
    negative: Bool[Tensor, "anchors all"],
    temperature: float,
) -> Float[Tensor, "anchors"]:
    """-log of a positive's share among itself and the negatives, averaged over an anchor's positives (Chaitanya 2020,
    equation 1)."""
    cosine = einsum(F.normalize(anchors, dim=-1), F.normalize(candidates, dim=-1), "anchors out, all out -> anchors all")
    similar = cosine / temperature
    rest = similar.masked_fill(~negative, -torch.inf).logsumexp(-1, keepdim=True)
    each = torch.logaddexp(similar, rest) - similar
    return (each * positive).sum(-1) / positive.sum(-1).clamp(min=1)


class GlobalLocal(Objective):
    """Global contrast between parts of volumes, and local contrast between regions of a decoded map.

    Global: a crop's other view is its positive. Crops of the same part of other volumes are never negatives (`spared`,
        the paper's
    G^D-) or positives too (`positive`, G^D). Local: a region's counterpart in the other view is its positive, the other
    regions of
    the view its negatives (the paper's L^R). The paper trains them one after the other, here they are summed.

    Args:
        same_part: What crops of the same part of other volumes are.
        local: Weight of the local contrast; 0: none.
        temperature: Of both.
        out: Width of the global embedding.
        local_out: Channels of the local one.
        region: Voxels of a region along each axis: the paper's 3 x 3 cells of a map that is a quarter as fine.
        width: Channels of the decoder at full size, for encoders that have none of their own.
    """

    needs = frozenset({Trait.PRETEXT_TARGET, Trait.SEVERAL_VIEWS, Trait.ALIGNED_TOKENS})
    target = Part
    across = "global: candidates from all processes, each computes its own rows; local: mean over all processes' regions"

    def __init__(
        self,
        *,
        same_part: Literal["spared", "positive"] = "spared",
        local: NonNegativeFloat = 1.0,
        temperature: PositiveFloat = 0.1,
        out: PositiveInt = 128,
        local_out: PositiveInt = 32,
        region: PositiveInt = 12,
        width: PositiveInt = 16,
    ) -> None:
        super().__init__()
        self.same_part, self.local, self.temperature, self.out = same_part, local, temperature, out
        self.local_out, self.region, self.width = local_out, region, width

    def head(self, encoder: Encoder, width: int) -> nn.Module:
        return MLPHead(encoder.pooled_width, hidden=encoder.pooled_width, out=self.out, norm="layer")

    def predictor(self, encoder: Encoder, width: int) -> nn.Module | None:
        own = as_volume_encoder(encoder, "global_local")
        return DenseDecoder(own.spec.axes, own.scales, out=self.local_out, width=self.width) if self.local else None

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        refuse_few_views(views, "global_local")
        encoder, globals_, locals_ = as_volume_encoder(student.encoder, "global_local"), [], []
        for view in views:
            encoding, maps = encoder.both(view)
            globals_.append(full(student.head(encoding.pooled)))
            if student.predictor is not None:
                locals_.append(full(student.predictor(maps)))
        with exact(globals_[0]):
            whole = self._global(torch.stack(globals_), views[0].target.number)
            if not locals_:
                return Loss(whole)
            parts = local_contrast(locals_, self.region, self.temperature)
        return Loss(whole + self.local * parts, {"global": whole.detach(), "local": parts.detach()})

    def _global(self, z: Float[Tensor, "views samples out"], part: Int[Tensor, "samples"]) -> Float[Tensor, ""]:
        each = distributed.counts(z.shape[1])
        refuse_single(sum(each), "global_local")
        views, own = len(z), torch.arange(z.shape[1], device=z.device) + sum(each[: distributed.rank()])
        joined = distributed.gather(z.transpose(0, 1), each).transpose(0, 1)
        every = distributed.gather(part, each)
        positive, negative = who(own, part, every, views, positives=self.same_part == "positive")
        values = contrast(z.flatten(0, 1), joined.flatten(0, 1), positive, negative, self.temperature)
        return distributed.mean(values, positive.any(1) & negative.any(1))


def who(
    own: Int[Tensor, "samples"], part: Int[Tensor, "samples"], every: Int[Tensor, "all"], views: int, *, positives: bool
) -> tuple[Bool[Tensor, "anchors candidates"], Bool[Tensor, "anchors candidates"]]:
    """Which candidates (view by view) are an anchor's positives and negatives."""
    same_unit = (own[:, None] == torch.arange(len(every), device=own.device)).repeat(views, views)
    same_part = (part[:, None] == every).repeat(views, views)
    number = torch.arange(views, device=own.device)
    same_view = (number[:, None] == number).repeat_interleave(len(own), 0).repeat_interleave(len(every), 1)
    itself = same_unit & same_view
    positive = (same_part if positives else same_unit) & ~itself
    return positive, ~same_part


def local_contrast(maps: list[Float[Tensor, "samples out *space"]], region: int, temperature: float) -> Float[Tensor, ""]:
    """Regions of two views of one place against the regions of the same crop (Chaitanya 2020, equation 3)."""
    pool = {4: F.avg_pool2d, 5: F.avg_pool3d}[maps[0].ndim]
    if min(maps[0].shape[2:]) < region:
        raise UserError(
            f"global_local: regions of {region} voxels are larger than the views' {min(maps[0].shape[2:])}; set `region`"
        )
    one, two = (F.normalize(pool(each, region).flatten(2), dim=1) for each in maps[:2])
    count = one.shape[2]
    if count < 2:
        raise UserError(f"global_local: views hold a single region of {region} voxels; set `region` lower, or `local: 0`")
    similar = torch.cat([one.transpose(1, 2) @ two, one.transpose(1, 2) @ one], dim=2) / temperature
    others = ~torch.eye(count, dtype=torch.bool, device=one.device)
    right = similar[:, :, :count].diagonal(dim1=1, dim2=2)
    allowed = torch.cat([torch.ones_like(others), others], dim=1)
    values = similar.masked_fill(~allowed, -torch.inf).logsumexp(-1) - right
    return distributed.mean(values.flatten())
