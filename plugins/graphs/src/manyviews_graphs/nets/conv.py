"""What every message-passing layer is, and how dense layers multiply what nodes receive."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from manyviews.objectives.shared import exact
from manyviews_graphs.nets.hop import Hop
from manyviews_graphs.nets.products import product, product_type
from manyviews_graphs.nets.rows import Nodes

SPARSE_COST = 10
"""Time of a multiplication and addition in a sparse product, in those of a dense one (CPU, one thread, float32)."""


class Conv(nn.Module, ABC):
    """Reads what nodes hold, answers for those that the hop wants."""

    @abstractmethod
    def forward(self, x: Nodes, hop: Hop) -> Float[Tensor, "wanted out"]:
        """At least float32."""


def sums_first(x: Nodes, hop: Hop, heads: int, channels: int, each: int) -> bool:
    """Whether to sum over edges before the product with the weights costs less than after it; the result is the same.

    Args:
        x: What the layer reads; sparse features are always multiplied first.
        hop: Its `wanted` nodes are those that a product after the sums is for.
        heads: Heads, each with its own sums.
        channels: Width of what is read.
        each: Width of what a head gives.
    """
    if not isinstance(x, Tensor):
        return False
    sparse = SPARSE_COST * len(hop.links) * heads
    return hop.wanted * channels * heads * each + sparse * channels < len(x) * channels * heads * each + sparse * each


def each_head(received: Float[Tensor, "nodes heads channels"], weight: Float[Tensor, "channels heads out"]) -> Tensor:
    """(nodes, heads, out): each head's rows times its own weights, at least float32."""
    if weight.shape[1] == 1:
        return product(received.squeeze(1), weight.squeeze(1))[:, None]
    result: Tensor = _EachHead.apply(received, weight)  # type: ignore[no-untyped-call]
    return result


class _EachHead(torch.autograd.Function):
    """Without the copies that a batched product makes of arguments whose batch is not their first axis."""

    @staticmethod
    def forward(ctx: Any, received: Tensor, weight: Tensor) -> Tensor:
        kind = product_type(received)
        wide, received, weight = received.dtype, received.to(kind), weight.to(kind)
        ctx.save_for_backward(received, weight)
        with exact(received):
            return _by_head(received, weight).to(wide)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        received, weight = ctx.saved_tensors
        own = gradient.to(weight.dtype)
        with exact(own):
            to_received = _by_head(own, weight.permute(2, 1, 0))
            to_weight = _by_head(received.permute(2, 1, 0), own)
        return to_received.to(gradient.dtype), to_weight.to(gradient.dtype)


def _by_head(left: Tensor, right: Tensor) -> Tensor:
    """(rows, heads, inner) times (inner, heads, columns), written in place."""
    out = left.new_empty(left.shape[0], left.shape[1], right.shape[2])
    for head in range(left.shape[1]):
        torch.mm(left[:, head], right[:, head], out=out[:, head])
    return out
