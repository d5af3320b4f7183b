"""Second-order graph matching: a batch seen twice is two graphs, whose nodes and edges are to be matched (LVM-Med).

After the description of Nguyen et al. 2023. A node is a sample, its edges lead to its nearest neighbours. The matching
maximises the affinities of matched nodes and of matched edges; its error has no gradient, which is estimated by implicit
maximum likelihood (I-MLE, Niepert et al. 2021): the marginals now, less the marginals with affinities that were moved towards
a smaller error. LVM-Med solves the matching on the CPU by message passing; here marginals are those of graduated assignment
(Gold and Rangarajan 1996), products and Sinkhorn's normalisation, so that no device waits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from einops import einsum
from jaxtyping import Float, Int
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews import distributed
from manyviews.encoder import Encoder
from manyviews.encoding import Encoding
from manyviews.errors import UserError
from manyviews.nets.heads import MLPHead
from manyviews.objective import Branch, Loss, Objective
from manyviews.objectives.shared import exact, full, refuse_few_views, refuse_single
from manyviews.traits import Trait
from manyviews.view import View

SINKHORN = 20
"""Normalisations of rows and columns."""


def nearest(z: Float[Tensor, "nodes out"], count: int) -> Int[Tensor, "nodes near"]:
    """The nodes nearest to each, itself left out."""
    distance = torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist")
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    return distance.masked_fill(itself, torch.inf).topk(count, largest=False).indices


def edges(z: Float[Tensor, "nodes out"], near: Int[Tensor, "nodes near"]) -> Float[Tensor, "nodes near out"]:
    """The direction from each neighbour to its node."""
    return F.normalize(z[:, None] - z[near], dim=-1)


def centred(x: Float[Tensor, "nodes *regions out"]) -> Float[Tensor, "nodes *regions out"]:
    """Without what all samples have in common, which makes every cosine 1 at the start; over all processes' samples, as no
    BatchNorm of one process would be."""
    return x - x.flatten(0, -2).mean(0)


def likest(
    one: Float[Tensor, "nodes regions out"], two: Float[Tensor, "nodes regions out"], best: int
) -> Float[Tensor, "nodes nodes"]:
    """Local affinity: each region with the most alike one of the other sample, mean over the `best`, both ways."""
    cosine = einsum(F.normalize(one, dim=-1), F.normalize(two, dim=-1), "i p out, a q out -> i a p q")
    there, back = cosine.amax(-1), cosine.amax(-2)
    return (there.topk(best).values.mean(-1) + back.topk(best).values.mean(-1)) / 2


@dataclass(frozen=True)
class Affinities:
    """What a matching is judged by."""

    nodes: Float[Tensor, "left right"]
    edges: Float[Tensor, "left left_near right right_near"]
    left: Int[Tensor, "left left_near"]
    """Neighbours of each node of the left graph."""
    right: Int[Tensor, "right right_near"]

    def neighbours(self, match: Float[Tensor, "left right"]) -> Float[Tensor, "left left_near right right_near"]:
        """How well the other ends of each two edges are matched."""
        return match[self.left[:, :, None, None], self.right[None, None]]


def balanced(scores: Float[Tensor, "left right"]) -> Float[Tensor, "left right"]:
    """Rows and columns that sum to one (Sinkhorn), of exp(scores)."""
    for _ in range(SINKHORN):
        scores = scores - scores.logsumexp(1, keepdim=True)
        scores = scores - scores.logsumexp(0, keepdim=True)
    return scores.exp()


@torch.no_grad()
def marginals(given: Affinities, second: float, temperature: float, rounds: int) -> Float[Tensor, "left right"]:
    """Soft matching: nodes by their own affinity and by how well their edges match under the matching so far."""
    match = balanced(given.nodes / temperature)
    for _ in range(rounds):
        pull = (given.edges * given.neighbours(match)).sum((1, 3)) / given.left.shape[1]
        match = balanced((given.nodes + second * pull) / temperature)
    return match


def mistaken(match: Float[Tensor, "nodes nodes"]) -> Float[Tensor, ""]:
    """Hamming distance to the identity, for each node: 0 where all is matched rightly."""
    right = torch.eye(len(match), dtype=match.dtype, device=match.device)
    return (match * (1 - right) + (1 - match) * right).sum() / len(match)


def implicit(given: Affinities, second: float, temperature: float, rounds: int, step: float) -> tuple[Tensor, Tensor]:
    """The error, with the gradient of implicit maximum likelihood; and the soft matching."""
    now = marginals(given, second, temperature, rounds)
    right = torch.eye(len(now), dtype=now.dtype, device=now.device)
    moved = Affinities(given.nodes - step * (1 - 2 * right), given.edges, given.left, given.right)
    then = marginals(moved, second, temperature, rounds)
    both = [match[:, None, :, None] * given.neighbours(match) for match in (now, then)]
    pulled = (given.nodes * (now - then)).sum() + second * (given.edges * (both[0] - both[1])).sum() / given.left.shape[1]
    pulled = pulled / (step * len(now))
    return mistaken(now) + pulled - pulled.detach(), now


class Heads(nn.Module):
    """Embeddings of whole samples, and of their regions."""

    def __init__(self, encoder: Encoder, hidden: int | None, out: int) -> None:
        super().__init__()
        pooled, width = encoder.pooled_width, encoder.width
        self.whole = MLPHead(pooled, hidden=hidden or pooled, out=out, norm="layer")
        self.regions = MLPHead(width, hidden=hidden or width, out=out, norm="layer")

    def forward(self, pooled: Float[Tensor, "units pooled"]) -> Float[Tensor, "units out"]:
        return self.whole(pooled)


class Messages(nn.Module):
    """A layer of message passing between neighbours, the same in both graphs."""

    def __init__(self, out: int) -> None:
        super().__init__()
        self.own, self.others = nn.Linear(out, out), nn.Linear(out, out, bias=False)

    def forward(self, z: Float[Tensor, "nodes out"], near: Int[Tensor, "nodes near"]) -> Float[Tensor, "nodes out"]:
        return self.own(z) + self.others(z[near].mean(1))


class GraphMatching(Objective):
    """Match the samples of two views of a batch by whole, by regions, and by how they lie to one another.

    Args:
        near: Neighbours that a node has edges to.
        whole: Share of the whole sample's cosine in a node's affinity (.8 in LVM-Med); the rest is that of regions.
        second: Weight of the edges' affinities; 0: nodes alone.
        regions: Tokens of a sample that are compared, spread evenly over it.
        best: Regions whose affinity counts.
        temperature: Of the marginals.
        rounds: Of graduated assignment.
        step: How far affinities are moved towards a smaller error.
        hidden: Width of the heads' hidden layers; null: that of their input.
        out: Width of the embeddings.
    """

    needs = frozenset({Trait.SEVERAL_VIEWS})
    across = "one graph of the samples of all processes, matched by each of them"

    def __init__(
        self,
        *,
        near: PositiveInt = 5,
        whole: Annotated[float, Field(ge=0, le=1)] = 0.8,
        second: NonNegativeFloat = 1.0,
        regions: PositiveInt = 16,
        best: PositiveInt = 8,
        temperature: PositiveFloat = 0.1,
        rounds: NonNegativeInt = 3,
        step: PositiveFloat = 1.0,
        hidden: PositiveInt | None = None,
        out: PositiveInt = 128,
    ) -> None:
        super().__init__()
        self.near, self.whole, self.second, self.regions, self.best = near, whole, second, regions, best
        self.temperature, self.rounds, self.step, self.hidden, self.out = temperature, rounds, step, hidden, out

    def head(self, encoder: Encoder, width: int) -> nn.Module:
        return Heads(encoder, self.hidden, self.out)

    def predictor(self, encoder: Encoder, width: int) -> nn.Module:
        return Messages(self.out)

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        refuse_few_views(views, "graph_matching")
        heads, messages = student.head, student.predictor
        assert isinstance(heads, Heads)
        assert isinstance(messages, Messages)
        if len(views) > 2:
            raise UserError(f"graph_matching: matches the samples of two views, and there are {len(views)}; choose two")
        encodings = [student.encoder(view) for view in views]
        wholes = torch.stack([full(heads(encoding.pooled)) for encoding in encodings], 1)
        regions = torch.stack([full(heads.regions(self._spread(encoding))) for encoding in encodings], 1)
        with exact(wholes):
            each = distributed.counts(len(wholes))
            refuse_single(sum(each), "graph_matching")
            regions = regions.reshape(len(wholes), -1, 2, self.out).transpose(1, 2)
            z, parts = distributed.gather(wholes, each).unbind(1), distributed.gather(regions, each).unbind(1)
            given = self.affinities(z, parts, messages)
            value, match = implicit(given, self.second, self.temperature, self.rounds, self.step)
        hit = (match.argmax(1) == torch.arange(len(match), device=match.device)).to(match.dtype).mean()
        return Loss(value, {"matched": hit})

    def affinities(self, z: tuple[Tensor, ...], parts: tuple[Tensor, ...], messages: nn.Module) -> Affinities:
        """Of two views of all samples: embeddings of each (nodes, out), and of their regions (nodes, regions, out)."""
        near = [nearest(one.detach(), min(self.near, len(one) - 1)) for one in z]
        passed = [F.normalize(centred(messages(one, found)), dim=-1) for one, found in zip(z, near, strict=True)]
        local = likest(centred(parts[0]), centred(parts[1]), min(self.best, parts[0].shape[1]))
        left, right = (edges(one, found) for one, found in zip(z, near, strict=True))
        cosine = einsum(left, right, "i m out, a n out -> i m a n")
        return Affinities(self.whole * (passed[0] @ passed[1].T) + (1 - self.whole) * local, cosine, near[0], near[1])

    def _spread(self, encoding: Encoding) -> Float[Tensor, "regions width"]:
        """Some tokens of each sample."""
        each = encoding.lengths.each
        if each is None:
            raise UserError("graph_matching compares samples of equally many tokens, and these differ; give views of one size")
        count = min(self.regions, each)
        tokens = encoding.tokens.reshape(-1, each, encoding.tokens.shape[1])
        places = torch.arange(count, device=tokens.device) * each // count
        return tokens[:, places].flatten(0, 1)
