"""A batch of graphs with some of its edges, nodes or features: what augmentations are made of.

How many edges and nodes are left, shapes depend on: on an accelerator each of these waits for the device once.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from manyviews.lengths import Lengths
from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.edges import Edges
from manyviews_graphs.features import rows_of, take_rows


def with_edges(batch: GraphBatch, where: Bool[Tensor, "edges"]) -> GraphBatch:
    """Those edges alone, and all nodes."""
    kept = where.nonzero().squeeze(1)
    edges = Edges(batch.edges.source[kept], batch.edges.target[kept], batch.edges.nodes)
    return replace(batch, edges=edges, edge_x=None if batch.edge_x is None else batch.edge_x[kept])


def with_nodes(batch: GraphBatch, where: Bool[Tensor, "nodes"]) -> GraphBatch:
    """Those nodes alone, and the edges between them."""
    lengths = batch.lengths
    counts = torch.zeros_like(lengths.tensor).index_add(0, lengths.owners(), where.long())
    left = Lengths.of(counts, counts.device)
    kept = torch.nonzero_static(where, size=left.total).squeeze(1)
    place = where.cumsum(0) - 1
    inner = (where[batch.edges.source] & where[batch.edges.target]).nonzero().squeeze(1)

    def taken(rows: Tensor | None) -> Tensor | None:
        return None if rows is None else rows[kept]

    return GraphBatch(
        take_rows(batch.x, kept),
        Edges(place[batch.edges.source[inner]], place[batch.edges.target[inner]], left.total),
        left,
        None if batch.edge_x is None else batch.edge_x[inner],
        taken(batch.places),
        batch.seeded,
        numbers=kept if batch.numbers is None else batch.numbers[kept],
    )


def with_features(
    batch: GraphBatch, nodes: Bool[Tensor, "nodes"] | None, channels: Bool[Tensor, "channels"] | None
) -> GraphBatch:
    """Zeros but for these channels of these nodes; None: of all. Sparse features keep their pattern.

    Args:
        batch: Whose features.
        nodes: Nodes that lose the channels not chosen.
        channels: Channels that stay; None: none do.
    """
    x = batch.x
    if x.layout == torch.strided:
        stays = x.new_zeros(x.shape[1]) if channels is None else channels.to(x.dtype)
        shown = x * stays if nodes is None else torch.where(nodes[:, None], x * stays, x)
        return replace(batch, x=shown)
    values, columns = x.values(), x.col_indices()
    stays = torch.zeros_like(columns, dtype=torch.bool) if channels is None else channels[columns]
    if nodes is not None:
        stays = stays | ~nodes[rows_of(x)]
    shown = torch.sparse_csr_tensor(x.crow_indices(), columns, values * stays, x.shape, check_invariants=False)
    return replace(batch, x=shown)
