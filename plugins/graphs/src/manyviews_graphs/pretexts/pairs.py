"""Pairs of an anchor and a partner, drawn for many anchors at once and never for all pairs of a large graph."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from manyviews.lengths import Lengths

MOST = 2**24
"""Numbers in one matrix of nodes and anchors: 64 MB of float32."""


def draw_anchors(scope: Lengths, anchors: int, generator: torch.Generator) -> Int[Tensor, "anchors"]:
    """So many different nodes, or all where there are fewer."""
    order = torch.randperm(scope.total, generator=generator, device=scope.tensor.device)
    return order[:anchors]


def chunks(anchors: Int[Tensor, "anchors"], nodes: int) -> Iterator[Int[Tensor, "some"]]:
    """The anchors in parts, of which each with all nodes makes no larger a matrix than `MOST`."""
    yield from torch.split(anchors, max(1, MOST // max(nodes, 1)))


def choose_pairs(
    where: Bool[Tensor, "nodes anchors"], partners: int, generator: torch.Generator
) -> tuple[Int[Tensor, "pairs"], Bool[Tensor, "pairs"]]:
    """For each anchor `partners` random nodes among those where `where` holds, and whether there were so many."""
    keys = torch.rand(where.shape, generator=generator, device=where.device)
    return best_pairs(torch.where(where, keys, -1.0), partners, -1.0)


def best_pairs(scores: Tensor, partners: int, nothing: float) -> tuple[Int[Tensor, "pairs"], Bool[Tensor, "pairs"]]:
    """For each anchor (column of (nodes, anchors)) the `partners` nodes of the highest scores, and which score at all.

    Args:
        scores: Of each node for each anchor.
        partners: Nodes wanted of each.
        nothing: The score of a node that is not to be chosen.
    """
    short = max(partners - scores.shape[0], 0)
    values, nodes = torch.nn.functional.pad(scores, (0, 0, 0, short), value=nothing).topk(partners, dim=0)
    return nodes.clamp(max=scores.shape[0] - 1).mT.flatten(), (values > nothing).mT.flatten()
