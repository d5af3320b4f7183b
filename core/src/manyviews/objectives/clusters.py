"""Clusters of units, found once before the first step: k-means on what the data hold or on what a finished run makes of them.

From then on a unit's cluster is that of the nearest centroid, worked out of the batch as it is. So nothing has to be kept for
each sample, labels are the same in every process and after a resume, and they are there for units that no list could name: the
nodes of neighbourhoods drawn anew, crops.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews.batch import Batch, OwnBatch
from manyviews.encoder import Encoder
from manyviews.errors import UserError
from manyviews.frozen import Frozen
from manyviews.layout import Layout
from manyviews.objective import Unit
from manyviews.objectives.shared import exact
from manyviews.traits import Trait

ROWS = 65_536
"""Tokens whose content is in memory at a time: a graph's sparse features are made dense."""
PARTS = 16
"""Most parts of a sample whose means describe it."""
WIDEST = 4096
"""Most numbers that describe a sample, where several parts do."""


def nearest(units: Float[Tensor, "units channels"], centroids: Float[Tensor, "codes channels"]) -> Int[Tensor, "units"]:
    """The nearest centroid of each. |x - c|² without |x|², which is the same for all centroids."""
    return (centroids.square().sum(1) - 2 * units @ centroids.T).argmin(1)


def k_means(units: Float[np.ndarray, "units channels"], count: int, seed: int) -> Float[Tensor, "count channels"]:
    """The centroids, in mini-batches as HuBERT has them (Hsu et al. 2021, section IV.B); at least `count` units are given."""
    from sklearn.cluster import MiniBatchKMeans

    found = MiniBatchKMeans(
        count, batch_size=10_000, n_init=20, max_no_improvement=100, reassignment_ratio=0.0, random_state=seed
    ).fit(units)
    return torch.from_numpy(found.cluster_centers_)


def in_parts(
    encoder: Encoder, batch: OwnBatch, layout: Layout, parts: int, dtype: torch.dtype = torch.float32
) -> Float[Tensor, "samples parts_channels"]:
    """The means of the raw content of each sample's tokens, part by part in their order, end to end.

    Of fewer tokens than parts, neighbouring parts share one. What is missing counts as 0.
    """
    lengths, channels = layout.lengths, encoder.target_channels
    device, owners = lengths.tensor.device, lengths.owners()
    own = lengths.tensor.clamp(max=parts)
    cell = owners * parts + lengths.places() * own[owners] // lengths.tensor[owners]
    sums = torch.zeros(len(lengths) * parts, channels, dtype=dtype, device=device)
    for tokens in torch.split(torch.arange(lengths.total, device=device), ROWS):
        sums.index_add_(0, cell[tokens], encoder.targets(batch, tokens).to(dtype).nan_to_num())
    counts = sums.new_zeros(len(sums)).index_add_(0, cell, sums.new_ones(len(cell)))
    means = (sums / counts.clamp(min=1)[:, None]).reshape(len(lengths), parts, channels)
    which = torch.arange(parts, device=device) * own[:, None] // parts
    return means.gather(1, which[..., None].expand(-1, -1, channels)).flatten(1)


class Clusters(nn.Module):
    """So many clusters of samples or of tokens.

    Args:
        count: How many.
        unit: What is clustered.
        encoder: The run's own, whose tokens' raw content is clustered where there is no `frozen`: of a sample that of up to 16
            parts, of a set (nobody can say which part is which) the mean.
        frozen: Whose embedding is clustered, by its directions (cosine).
    """

    centroids: Tensor

    def __init__(self, count: int, unit: Unit, encoder: Encoder, frozen: Frozen | None) -> None:
        super().__init__()
        self.unit, self.frozen, self.parts = unit, frozen, 1
        if frozen is not None:
            width = frozen.encoder.pooled_width if unit == "sample" else frozen.encoder.width
        else:
            channels = encoder.target_channels
            if not channels:
                raise UserError(
                    f"{type(encoder).__name__} gives no raw content of these data to cluster; name a finished `run`"
                )
            if unit == "sample" and Trait.PLACED_TOKENS in encoder.offers:
                self.parts = min(PARTS, max(WIDEST // channels, 1))
            width = self.parts * channels
        self.register_buffer("centroids", torch.zeros(count, width))
        self._before: tuple[Batch, Int[Tensor, "units"]] | None = None

    def fit(self, encoder: Encoder, batches: Iterator[Batch], most: int, seed: int) -> None:
        """Find them among the first `most` units of the batches; of a large sample's tokens, among evenly spaced ones.

        Raises:
            UserError: There are fewer units than clusters, or the finished run gives NaN.
        """
        found: list[np.ndarray] = []
        while (left := most - sum(map(len, found))) > 0 and (batch := next(batches, None)) is not None:
            found.append(self._content(encoder, batch, encoder.layout(batch), left)[:left].float().cpu().numpy())
        units, count = np.concatenate(found), len(self.centroids)
        if len(units) < count:
            raise UserError(
                f"{count:,} clusters cannot be found among {len(units):,} training {self.unit}s; set `classes` lower"
            )
        if not np.isfinite(units).all():
            raise UserError(
                f"what {self.frozen and self.frozen.run} makes of these data holds NaN or infinity; use another run"
            )
        self.centroids.copy_(k_means(units, count, seed))

    @torch.no_grad()
    def forward(self, encoder: Encoder, batch: OwnBatch, layout: Layout) -> Int[Tensor, "units"]:
        """The cluster of each unit of a batch; of a source that is one sample, worked out once."""
        if self._before is not None and self._before[0] is batch:
            return self._before[1]
        with exact(self.centroids):
            labels = self._told(encoder, batch, layout)
        self._before = (batch, labels) if len(batch) == 1 else None
        return labels

    def _told(self, encoder: Encoder, batch: OwnBatch, layout: Layout) -> Int[Tensor, "units"]:
        if self.unit == "token" and self.frozen is None:
            every = torch.split(torch.arange(layout.lengths.total, device=layout.lengths.tensor.device), ROWS)
            return torch.cat([nearest(self._raw(encoder, batch, tokens), self.centroids) for tokens in every])
        return nearest(self._content(encoder, batch, layout), self.centroids)

    def _raw(self, encoder: Encoder, batch: OwnBatch, tokens: Int[Tensor, "asked"]) -> Float[Tensor, "asked channels"]:
        return encoder.targets(batch, tokens).to(self.centroids.dtype).nan_to_num()

    def _content(
        self, encoder: Encoder, batch: OwnBatch, layout: Layout, most: int | None = None
    ) -> Float[Tensor, "units width"]:
        """What is clustered; of tokens `most`, evenly spaced (None: all)."""
        dtype = self.centroids.dtype
        if self.frozen is None and self.unit == "sample":
            return in_parts(encoder, batch, layout, self.parts, dtype)
        total = layout.lengths.total
        count = total if most is None else min(most, total)
        tokens = torch.arange(count, device=layout.lengths.tensor.device) * total // max(count, 1)
        if self.frozen is None:
            return self._raw(encoder, batch, tokens)
        cut, encoding = self.frozen(batch)
        if self.unit == "sample":
            return F.normalize(encoding.pooled.to(dtype), dim=1)
        refuse_other_tokens(self.frozen, cut, layout)
        return F.normalize(encoding.tokens[tokens].to(dtype), dim=1)


def refuse_other_tokens(frozen: Frozen, cut: Layout, layout: Layout) -> None:
    """Raises UserError where the finished run's encoder cuts a batch otherwise than the run's own."""
    if cut.lengths.total != layout.lengths.total:
        raise UserError(
            f"the encoder of {frozen.run} cuts a batch into {cut.lengths.total} tokens, this one into {layout.lengths.total}; "
            "clusters of tokens need encoders whose tokens are the same"
        )
