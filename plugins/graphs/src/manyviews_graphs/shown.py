"""What an encoder is shown at each node of a view: its features, another node's, or the mask token."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from manyviews.mask import Mask
from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.features import rows_of, take_rows
from manyviews_graphs.nets.rows import Nodes, Rows


def shown(batch: GraphBatch, hidden: Mask | None, token: Float[Tensor, "channels"]) -> Nodes:
    """Dense features as rows, sparse ones as `Rows`, of the type of `token`.

    Args:
        batch: Its `stand_ins` say whose features stand at a withheld node, -1 for the token's.
        hidden: The nodes withheld; None: none are.
        token: What stands at a withheld node.
    """
    if batch.x.layout == torch.strided:
        return _dense(batch, None if hidden is None else hidden.where[0], token)
    x = batch.x.to(token.dtype)
    if hidden is None:
        return Rows(x, token, torch.empty(0, dtype=torch.long, device=x.device))
    masked = hidden.where[0]
    if batch.stand_ins is None and x.device.type != "cpu":  # as many entries as before, so that nobody asks for their number
        values = x.values().masked_fill(masked[rows_of(x)], 0)
        emptied = torch.sparse_csr_tensor(x.crow_indices(), x.col_indices(), values, x.shape, check_invariants=False)
        return Rows(emptied, token, hidden.index(batch.lengths))
    masked = masked if batch.stand_ins is None else masked & (batch.stand_ins < 0)
    seen = (~masked).nonzero().squeeze(1)
    return Rows(_spread(take_rows(x, _features_of(batch)[seen]), seen, x.shape[0]), token, masked.nonzero().squeeze(1))


def _dense(batch: GraphBatch, hidden: Bool[Tensor, "nodes"] | None, token: Float[Tensor, "channels"]) -> Tensor:
    x = batch.x.to(token.dtype)
    if hidden is None:
        return x
    masked = hidden if batch.stand_ins is None else hidden & (batch.stand_ins < 0)
    seen = x if batch.stand_ins is None else x[_features_of(batch)]
    return torch.where(masked[:, None], token, seen)


def _features_of(batch: GraphBatch) -> Int[Tensor, "nodes"]:
    """The node whose features each node shows, if it is not the token."""
    own = torch.arange(batch.x.shape[0], device=batch.x.device)
    return own if batch.stand_ins is None else torch.where(batch.stand_ins >= 0, batch.stand_ins, own)


def _spread(x: Tensor, places: Int[Tensor, "rows"], nodes: int) -> Tensor:
    """The CSR matrix with these rows at these places (ascending), and empty ones elsewhere."""
    counts = x.crow_indices().new_zeros(nodes).index_copy(0, places, x.crow_indices().diff())
    pointer = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return torch.sparse_csr_tensor(pointer, x.col_indices(), x.values(), (nodes, x.shape[1]), check_invariants=False)
