"""DGI: tell a graph's nodes from those of a corrupted graph by the graph's summary (Velickovic et al. 2019, equation 1).

A view of the graph and a view with its features shuffled go through the encoder. A node's embedding h and the summary of
the true graph s = sigmoid(mean h) meet in a bilinear discriminator, whose logit is h^T W s; the loss is the binary
cross-entropy of "true", mean over the nodes of both views.

Every graph of a batch of graphs has its own summary. Of neighbourhoods the seeds are judged, by one summary of them all,
as the paper does on graphs that do not fit (section 4.2).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews import distributed
from manyviews.encoder import Encoder
from manyviews.lengths import Lengths
from manyviews.objective import Branch, Loss, Objective
from manyviews.objectives.shared import exact, full
from manyviews.traits import Trait
from manyviews.view import View


@dataclass(frozen=True)
class Corrupted:
    """What DGI asks about a view: is this the graph, or its corruption?"""

    answer: bool
    """True of the corruption."""


def summary(nodes: Float[Tensor, "nodes width"], samples: Lengths | None) -> Float[Tensor, "summaries width"]:
    """Sigmoid of the mean of the nodes (Velickovic 2019, equation 3), for each sample.

    Args:
        nodes: Embeddings.
        samples: How many of them each sample has; None: they are one sample, those of all processes.
    """
    if samples is not None:
        return torch.sigmoid(samples.mean(nodes))
    return torch.sigmoid(distributed.total(nodes.sum(0)) / sum(distributed.counts(len(nodes))))[None]


class Discriminator(nn.Module):
    """The logit h^T W s of "a node of this graph" (Velickovic 2019, equation 4). W starts as in the authors' code."""

    def __init__(self, width: int) -> None:
        super().__init__()
        bound = (6 / (width * width + width)) ** 0.5
        self.weight = nn.Parameter(torch.empty(width, width).uniform_(-bound, bound))

    def forward(
        self, nodes: Float[Tensor, "nodes width"], summaries: Float[Tensor, "summaries width"], samples: Lengths | None
    ) -> Float[Tensor, "nodes"]:
        """Of each node with the summary of its sample, or with the only one."""
        directions = summaries @ self.weight.mT
        if samples is None or len(summaries) == 1:
            return nodes @ directions[0]
        return (nodes * directions[samples.owners()]).sum(-1)


class DGI(Objective):
    """Deep Graph Infomax: nodes are told from corrupted ones by their graph's summary (Velickovic et al. 2019)."""

    needs = frozenset({Trait.PRETEXT_TARGET})
    target = Corrupted
    across = "mean over the nodes of all processes; the summary of neighbourhoods is that of all seeds"

    def predictor(self, encoder: Encoder, width: int) -> nn.Module:
        return Discriminator(encoder.width)

    def forward(self, views: tuple[View, ...], student: Branch, teacher: Branch | None, generator: torch.Generator) -> Loss:
        assert student.predictor is not None
        (true,) = [view for view in views if not view.target.answer]
        nodes, samples = self._nodes(true, student)
        fakes = [self._nodes(view, student)[0] for view in views if view.target.answer]
        with exact(nodes):
            summaries = summary(nodes, samples)
            logits = [student.predictor(part, summaries, samples) for part in (nodes, *fakes)]
            labels = torch.cat([torch.ones_like(logits[0]), *[torch.zeros_like(part) for part in logits[1:]]])
            joined = torch.cat(logits)
            value = distributed.mean(F.binary_cross_entropy_with_logits(joined, labels, reduction="none"))
            right = ((joined.detach() > 0) == (labels > 0)).to(joined.dtype)
        return Loss(value, {"accuracy": distributed.mean(right)})

    @staticmethod
    def _nodes(view: View, student: Branch) -> tuple[Float[Tensor, "nodes width"], Lengths | None]:
        """The embeddings that are judged, and how many each sample has; None where all are one."""
        encoding = student.encoder(view)
        if view.batch.seeded:
            return full(encoding.pooled), None
        return full(encoding.tokens), encoding.lengths
