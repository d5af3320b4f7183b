"""Attention weights: a softmax over the edges into each node."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from manyviews_graphs.nets.links import Links


def edge_softmax(logits: Float[Tensor, "edges heads"], links: Links) -> Float[Tensor, "edges heads"]:
    """exp(l_e) / sum exp(l_f) over the edges f that end where e does, for each head (Velickovic et al. 2018, equation 3)."""
    weights: Tensor = _EdgeSoftmax.apply(logits, links)  # type: ignore[no-untyped-call]
    return weights


class _EdgeSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, links: Links) -> Tensor:
        largest = _reduced(logits, links, "max")
        powers = (logits - largest[links.target]).exp_()
        weights = powers.div_(_reduced(powers, links, "sum")[links.target])
        ctx.save_for_backward(weights)
        ctx.links = links
        return weights

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (weights,) = ctx.saved_tensors
        own = gradient * weights
        return own - weights * _reduced(own, ctx.links, "sum")[ctx.links.target], None


def _reduced(values: Tensor, links: Links, reduce: str) -> Tensor:
    """(targets, heads). `unsafe` leaves out a check of the offsets that would make the host wait."""
    return torch.segment_reduce(values, reduce, offsets=links.pointer, axis=0, unsafe=True)
