"""What stands at the nodes before the first layer: sparse features, or the mask token where a node is withheld.

Sparse features stay sparse. The mask token is dense, and dropout gives each withheld node its own draw of it; row i of
the product with a weight W is then sum_f kept[i, f] token[f] W[f], which is one product of the 0-or-1 matrix of what is
kept with token[:, None] * W. So the tokens are never made rows of features, and their gradient costs nothing beside W's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from manyviews.objectives.shared import exact
from manyviews_graphs.nets.dropout import draw, dropout, share
from manyviews_graphs.nets.links import counted
from manyviews_graphs.nets.products import multiplied, product, product_type
from manyviews_graphs.nets.sums import sparse_product


@dataclass(frozen=True)
class Rows:
    """Features of nodes."""

    x: Float[Tensor, "nodes channels"]
    """`torch.sparse_csr`; the rows of nodes that show the token are empty."""
    token: Float[Tensor, "channels"]
    places: Int[Tensor, "withheld"]
    """The nodes that show the token."""
    kept: Float[Tensor, "withheld channels"] | None = None
    """Which of the token's numbers dropout has left, 1 or 0; None: all."""
    scale: float = 1.0
    """What dropout multiplies the token's numbers by."""

    @property
    def shape(self) -> tuple[int, int]:
        return self.x.shape[0], self.x.shape[1]


Nodes = Tensor | Rows
"""What a layer reads: (nodes, channels), dense, or sparse rows in the first layer."""


def dropped(x: Nodes, p: float, training: bool) -> Nodes:
    """`x` under dropout. A zero stays zero, so that sparse features need draws for their entries alone."""
    if not training or p == 0.0:
        return x
    if isinstance(x, Tensor):
        return dropout(x, p, training)
    values = dropout(x.x.values(), p, training)
    matrix = torch.sparse_csr_tensor(x.x.crow_indices(), x.x.col_indices(), values, x.shape, check_invariants=False)
    kept = draw((len(x.places), x.shape[1]), p, torch.empty(0, dtype=product_type(x.token), device=x.token.device))
    return replace(x, x=matrix, kept=kept, scale=1 / share(p))


def times(x: Nodes, weight: Float[Tensor, "channels out"]) -> Float[Tensor, "nodes out"]:
    """`x @ weight`, at least float32."""
    if isinstance(x, Tensor):
        return product(x, weight)
    result: Tensor = _Product.apply(weight, x.token, x)  # type: ignore[no-untyped-call]
    return result


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, token: Tensor, rows: Rows) -> Tensor:
        ctx.save_for_backward(weight, token)
        ctx.rows, ctx.kind = rows, product_type(weight)
        with exact(weight):
            result = sparse_product(rows.x, weight)
            if len(rows.places):
                scaled = (token * rows.scale)[:, None] * weight
                of_tokens = (
                    scaled.sum(0).expand(len(rows.places), -1)
                    if rows.kept is None
                    else multiplied(rows.kept, scaled.to(ctx.kind))
                )
                result.index_copy_(0, rows.places, of_tokens.to(result.dtype))
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        weight, token = ctx.saved_tensors
        rows: Rows = ctx.rows
        with exact(gradient):
            to_weight = sparse_product(_transposed(rows.x), gradient)
            if not len(rows.places):
                return to_weight, torch.zeros_like(token), None
            withheld = gradient[rows.places]
            if rows.kept is None:
                to_scaled = withheld.sum(0).expand(len(token), -1) * rows.scale
            else:
                to_scaled = multiplied(rows.kept.t(), withheld.to(ctx.kind)).to(weight.dtype).mul_(rows.scale)
            to_weight.addcmul_(token[:, None], to_scaled)
            return to_weight, torch.linalg.vecdot(to_scaled, weight), None


def _transposed(x: Float[Tensor, "rows columns"]) -> Float[Tensor, "columns rows"]:
    """A CSR matrix transposed, in CSR: products with it are faster than with the same in CSC."""
    rows = torch.arange(x.shape[0], device=x.device)
    row = rows.repeat_interleave(x.crow_indices().diff(), output_size=x.values().shape[0])
    order = x.col_indices().argsort(stable=True)
    counts = counted(x.col_indices(), x.shape[1])
    pointer = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    shape = (x.shape[1], x.shape[0])
    return torch.sparse_csr_tensor(pointer, row[order], x.values()[order], shape, check_invariants=False)
