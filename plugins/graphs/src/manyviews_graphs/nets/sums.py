"""What nodes receive: weighted sums, over the edges into them, of what the other ends send.

As a product with a sparse matrix this is several times faster than to gather one row an edge and to add them up, and
never holds (edges, channels); so are both gradients: to what is sent, a product with the transposed matrix; to the
weights, a product of two dense matrices sampled where the edges are.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from manyviews.objectives.shared import exact, full
from manyviews_graphs.nets.links import Links


def weighted_sum(
    sent: Float[Tensor, "sources *heads channels"], weights: Float[Tensor, "edges heads"], links: Links
) -> Float[Tensor, "targets heads channels"]:
    """sum_e weights[e, h] * sent[source[e], h] for each target and head; 0 for targets without an edge.

    In at least float32, since neither MKL nor most GPUs multiply sparse matrices of half precision.

    Args:
        sent: What each node sends: one thing for each head, or without that axis one thing for all heads.
        weights: Of each edge, for each head.
        links: Who sends to whom.
    """
    with exact(sent):
        sent = full(sent)
        weights = weights.to(sent.dtype)
        if not multiplies_sparse(sent.device):
            return gathered_sum(sent, weights, links)
        result: Tensor = _SparseSum.apply(sent.contiguous(), weights, links)  # type: ignore[no-untyped-call]
        return result


def gathered_sum(
    sent: Float[Tensor, "sources *heads channels"], weights: Float[Tensor, "edges heads"], links: Links
) -> Float[Tensor, "targets heads channels"]:
    """The same edge by edge, for devices without sparse products."""
    each = sent if sent.ndim == 3 else sent[:, None]
    zeros = each.new_zeros(links.targets, weights.shape[1], each.shape[2])
    return zeros.index_add(0, links.target, weights[..., None] * each[links.source])


def multiplies_sparse(device: torch.device) -> bool:
    """Whether PyTorch multiplies CSR matrices here: on CUDA devices, and by MKL, which is in its builds for x86."""
    return device.type == "cuda" or (device.type == "cpu" and torch.backends.mkl.is_available())  # type: ignore[no-untyped-call]


def sparse_product(matrix: Float[Tensor, "rows inner"], dense: Float[Tensor, "inner columns"]) -> Float[Tensor, "rows columns"]:
    """`matrix @ dense` for a CSR matrix, into fresh memory: PyTorch's own fills and copies a matrix of zeros first."""
    if not multiplies_sparse(dense.device):
        rows = torch.arange(matrix.shape[0], device=dense.device).repeat_interleave(matrix.crow_indices().diff())
        entries = matrix.values()[:, None] * dense[matrix.col_indices()]
        return dense.new_zeros(matrix.shape[0], dense.shape[1]).index_add(0, rows, entries)
    out = dense.new_empty(matrix.shape[0], dense.shape[1])
    return torch.addmm(out, matrix, dense, beta=0.0, out=out)


class _SparseSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, sent: Tensor, weights: Tensor, links: Links) -> Tensor:
        ctx.save_for_backward(sent, weights)
        ctx.links = links
        matrix = links.pattern(weights.shape[1], apart=sent.ndim == 3).matrix(weights)
        return sparse_product(matrix, sent.flatten(0, -2)).reshape(links.targets, weights.shape[1], sent.shape[-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        sent, weights = ctx.saved_tensors
        heads, apart = weights.shape[1], sent.ndim == 3
        received = gradient.contiguous().flatten(0, -2)
        to_sent = to_weights = None
        with exact(received):
            if ctx.needs_input_grad[0]:
                transposed = ctx.links.pattern(heads, apart=apart, transposed=True)
                to_sent = sparse_product(transposed.matrix(weights), received).reshape(sent.shape)
            if ctx.needs_input_grad[1]:
                pattern = ctx.links.pattern(heads, apart=apart)
                products = torch.sparse.sampled_addmm(pattern.matrix(weights), received, sent.flatten(0, -2).t(), beta=0.0)
                to_weights = pattern.weights(products, weights)
        return to_sent, to_weights, None
