"""NT-Xent, the loss of SimCLR (Chen et al. 2020, equation 1), and its decoupled form DCL (Yeh et al. 2022, equation 6).

Every (view, unit) is an anchor. Its positives are the other views of its unit, its negatives all views of all other
units of all processes. With more than two views the loss is the mean over positives, each against all candidates but
the anchor itself (the form of Khosla et al. 2020, equation 2, with one unit a class); for two views that is SimCLR's.
"""

from __future__ import annotations

import torch
from einops import einsum, rearrange
from jaxtyping import Bool, Float, Int
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from manyviews import distributed
from manyviews.encoder import Encoder
from manyviews.nets.heads import MLPHead, Norm
from manyviews.objective import Branch, Loss, Objective
from manyviews.objectives.shared import deviation, embed, exact, refuse_few_views, refuse_single
from manyviews.traits import Trait
from manyviews.view import View


def positives(anchors: Float[Tensor, "views anchors width"]) -> Float[Tensor, "views anchors"]:
    """Mean similarity of each anchor with the other views of its unit. Input of unit length."""
    every = einsum(anchors, anchors.sum(0), "views anchors width, anchors width -> views anchors")
    itself = einsum(anchors, anchors, "views anchors width, views anchors width -> views anchors")
    return (every - itself) / (len(anchors) - 1)


def left_out(views: int, units: int, own: Int[Tensor, "anchors"], decoupled: bool) -> Bool[Tensor, "views anchors views units"]:
    """The candidates that are not in an anchor's denominator: itself, and with DCL its positives too."""
    unit = own[:, None] == torch.arange(units, device=own.device)
    view = torch.ones(views, views, device=own.device) if decoupled else torch.eye(views, device=own.device)
    return rearrange(view.bool(), "v u -> v 1 u 1") & rearrange(unit, "anchors units -> 1 anchors 1 units")


def ntxent(
    anchors: Float[Tensor, "views anchors width"],
    candidates: Float[Tensor, "views units width"],
    own: Int[Tensor, "anchors"],
    temperature: float,
    decoupled: bool = False,
) -> Float[Tensor, "views anchors"]:
    """-log of the softmax share of the positives (Chen 2020, equation 1), for each anchor.

    Args:
        anchors: Embeddings of this process's units, of any length: cosine similarity is used.
        candidates: Embeddings of all processes' units.
        own: Where each anchor's unit stands among the candidates.
        temperature: Of the softmax.
        decoupled: Leave the positives out of the denominator (Yeh 2022, equation 6).
    """
    anchors, candidates = F.normalize(anchors, dim=-1), F.normalize(candidates, dim=-1)
    similar = einsum(anchors, candidates, "v anchors width, u units width -> v anchors u units")
    hidden = left_out(len(candidates), candidates.shape[1], own, decoupled)
    logits = (similar / temperature).masked_fill(hidden, -torch.inf)
    return rearrange(logits, "v anchors u units -> v anchors (u units)").logsumexp(-1) - positives(anchors) / temperature


class NTXent(Objective):
    """Contrastive learning: a unit's views attract, all other units repel (SimCLR, Chen et al. 2020).

    Args:
        temperature: Of the softmax over similarities.
        decoupled: DCL (Yeh et al. 2022): the positive is left out of the denominator, which small batches gain from.
        chunk: Units whose similarities with all others are in memory at a time, computed again on the way back; null: all.
            For many units: one graph of 20,000 nodes has 1.6 billion similarities.
        hidden: Width of the head's hidden layers; null: the width of a unit, as in SimCLR.
        out: Width of the embedding.
        layers: Linear layers of the head.
        norm: What normalises the head's hidden layers. `batch` needs 2 units or more on each process.
    """

    needs = frozenset({Trait.SEVERAL_VIEWS})
    across = "negatives from all processes; each computes the rows of its own units"

    def __init__(
        self,
        *,
        temperature: PositiveFloat = 0.5,
        decoupled: bool = False,
        chunk: PositiveInt | None = None,
        hidden: PositiveInt | None = None,
        out: PositiveInt = 128,
        layers: PositiveInt = 2,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        self.temperature, self.decoupled, self.chunk = temperature, decoupled, chunk
        self.hidden, self.out, self.layers, self.norm = hidden, out, layers, norm

    def head(self, encoder: Encoder, width: int) -> nn.Module:
        return MLPHead(width, hidden=self.hidden or width, out=self.out, layers=self.layers, norm=self.norm)

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        refuse_few_views(views, "ntxent")
        z = embed(views, student, "ntxent")
        each = distributed.counts(z.shape[1])
        refuse_single(sum(each), "ntxent")
        own = torch.arange(z.shape[1], device=z.device) + sum(each[: distributed.rank()])
        joined = distributed.gather(rearrange(z, "views units out -> units views out"), each)
        candidates = rearrange(joined, "units views out -> views units out")
        with exact(z):
            value = distributed.mean(self._values(z, candidates, own).flatten())
            unit = F.normalize(z.detach(), dim=-1)
            metrics = {"positive_similarity": positives(unit).mean(), "embedding_std": deviation(unit) * unit.shape[-1] ** 0.5}
        return Loss(value, metrics)

    def _values(
        self,
        anchors: Float[Tensor, "views anchors width"],
        candidates: Float[Tensor, "views units width"],
        own: Int[Tensor, "anchors"],
    ) -> Float[Tensor, "views anchors"]:
        if self.chunk is None:
            return ntxent(anchors, candidates, own, self.temperature, self.decoupled)
        starts = range(0, len(own), self.chunk)
        blocks = [(anchors[:, start : start + self.chunk], own[start : start + self.chunk]) for start in starts]
        options = (self.temperature, self.decoupled)
        parts = [checkpoint(ntxent, some, candidates, rows, *options, use_reentrant=False) for some, rows in blocks]
        return torch.cat(parts, dim=1)
