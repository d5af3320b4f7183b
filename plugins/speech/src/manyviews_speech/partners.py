"""Which other clip a clip is shown beside: one of the same speaker or cluster, or one that is likely to say the same.

Two clips that say the same in two voices are what no alteration of one clip can be. Nobody labels them: they are nearest
neighbours of different speakers, in a space from which each speaker's mean is taken (nearest neighbours as positives:
Dwibedi et al. 2021, NNCLR; across domains: Harary et al. 2022). The space is the clips' own spectrum in eight parts at first,
and the embedding of a finished run in later rounds, in which neighbours agree more often.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from manyviews.errors import DataError
from manyviews.objectives.clusters import k_means, nearest

CHUNK = 2048
"""Clips whose similarities with all others are in memory at a time."""
PARTS = 8

Numbers = Int[np.ndarray, "_"]


class Same:
    """Another clip of the clip's speaker (or cluster), among those given; itself where there is none."""

    def __init__(self, chosen: Numbers, owners: Numbers) -> None:
        order = chosen[np.argsort(owners[chosen], kind="stable")]
        known, starts = np.unique(owners[order], return_index=True)
        self.owners = owners
        self.clips: Mapping[int, Numbers] = dict(zip(known.tolist(), np.split(order, starts[1:]), strict=True))

    def __call__(self, index: Numbers, rng: np.random.Generator) -> Numbers:
        partners = []
        for number in index.tolist():
            same = self.clips.get(int(self.owners[number]), np.array([number]))
            others = same[same != number]
            partners.append(int(rng.choice(others)) if len(others) else number)
        return np.array(partners, dtype=np.int64)


class Neighbours:
    """One of a clip's nearest, of other speakers where speakers are known; itself for a clip that is not among those given.

    Args:
        chosen: The clips among which neighbours are found.
        vectors: Of these, whatever their scale.
        speakers: Of all clips; -1: not known.
        count: Neighbours that one is drawn from.
    """

    def __init__(self, chosen: Numbers, vectors: Float[Tensor, "chosen width"], speakers: Numbers, count: int) -> None:
        own = torch.from_numpy(speakers[chosen])
        if len(np.unique(speakers[chosen])) == 1 and own[0] >= 0:
            raise DataError("data.partner: all training clips are of one speaker, and neighbours are to be of others")
        unit = F.normalize(centred(vectors.double(), own), dim=1).float()
        nearest = [self._nearest(unit, own, rows, count) for rows in torch.split(torch.arange(len(chosen)), CHUNK)]
        self.rows: dict[int, int] = {int(clip): row for row, clip in enumerate(chosen)}
        self.table: Int[np.ndarray, "chosen count"] = chosen[torch.cat(nearest).numpy()]

    @staticmethod
    def _nearest(unit: Tensor, own: Tensor, rows: Tensor, count: int) -> Int[Tensor, "rows count"]:
        alike = unit[rows] @ unit.T
        never = (own[rows][:, None] == own) & (own >= 0)
        never[torch.arange(len(rows)), rows] = True
        return alike.masked_fill(never, -torch.inf).topk(min(count, len(own) - 1), dim=1).indices

    def __call__(self, index: Numbers, rng: np.random.Generator) -> Numbers:
        drawn = rng.integers(self.table.shape[1], size=len(index))
        places = [self.rows.get(number, -1) for number in index.tolist()]
        pairs = zip(index.tolist(), places, drawn.tolist(), strict=True)
        return np.array([clip if row < 0 else self.table[row, one] for clip, row, one in pairs], dtype=np.int64)


def clusters_of(vectors: Float[Tensor, "chosen width"], count: int, seed: int) -> Int[np.ndarray, "chosen"]:
    """k-means of directions: which cluster each clip is in (Han, Chen & Qian 2024, cluster-aware DINO)."""
    if count > len(vectors):
        raise DataError(
            f"data.clusters: {count:,} clusters cannot be found among {len(vectors):,} training clips; set it lower"
        )
    unit = F.normalize(vectors.double(), dim=1)
    found: Int[np.ndarray, "chosen"] = nearest(unit, k_means(unit.numpy(), count, seed)).numpy()
    return found


def centred(vectors: Float[Tensor, "clips width"], speakers: Int[Tensor, "clips"]) -> Float[Tensor, "clips width"]:
    """Each dimension at mean 0 within every speaker, and at one spread over all: what is left says less of who speaks."""
    place = torch.unique(speakers, return_inverse=True)[1]
    sums = vectors.new_zeros(int(place.max()) + 1, vectors.shape[1]).index_add(0, place, vectors)
    without = vectors - (sums / place.bincount()[:, None])[place]
    return without / without.std(0).clamp(min=1e-6)


def in_parts(frames: Float[Tensor, "frames channels"], parts: int = PARTS) -> Float[Tensor, "parts_channels"]:
    """The means of a clip's parts in time, end to end; of fewer frames than parts, some share a frame."""
    edges = [number * len(frames) / parts for number in range(parts + 1)]
    return torch.cat([frames[int(a) : max(math.ceil(b), int(a) + 1)].mean(0) for a, b in pairwise(edges)])
