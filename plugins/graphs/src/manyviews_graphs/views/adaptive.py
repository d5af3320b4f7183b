"""Adaptive augmentation: what matters less is dropped more often (GCA, Zhu et al. 2021), by degree centrality.

A thing of centrality c is dropped with probability min((s_max - s) / (s_max - mean s) * share, most), where s = log c.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.edges import Edges
from manyviews_graphs.features import rows_of


def edge_chances(edges: Edges, share: float, most: float) -> Float[Tensor, "edges"]:
    """Each edge's chance to be dropped, the same for an edge and its reverse.

    Centrality of an edge is the mean of the degrees of its ends, as the paper has it for undirected graphs.
    """
    degree = edges.in_degree.double()
    return _chances((degree[edges.source] + degree[edges.target]) / 2, share, most)


def channel_chances(batch: GraphBatch, share: float, most: float) -> Float[Tensor, "channels"]:
    """Each feature channel's chance to be dropped; 0 for a channel that is zero at all nodes, which decides nothing.

    Centrality of a channel is the sum over nodes of |x| times the node's degree.
    """
    degree = batch.edges.in_degree.double()
    x = batch.x
    if x.layout == torch.strided:
        return _chances((degree.to(x.dtype) @ x.abs()).double(), share, most)
    weight = degree.new_zeros(x.shape[1])
    return _chances(weight.index_add(0, x.col_indices(), x.values().abs().double() * degree[rows_of(x)]), share, most)


def _chances(centrality: Float[Tensor, "things"], share: float, most: float) -> Float[Tensor, "things"]:
    """The formula above, means and maximum over what has any centrality; `share` where all have the same."""
    there = centrality > 0
    s = torch.where(there, centrality, 1.0).log()
    highest = torch.where(there, s, -torch.inf).max() if len(s) else s.sum()
    mean = torch.where(there, s, 0.0).sum() / there.sum()
    weight = torch.where(highest > mean, (highest - s) / (highest - mean), 1.0)
    return torch.where(there, (weight * share).clamp(max=most), 0.0)
