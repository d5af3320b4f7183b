"""NodeProperty: a node's degree or clustering coefficient (Jin et al. 2020, section 3.1.1)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import csr_array
from torch import Tensor

from manyviews.moving import sent
from manyviews_graphs.edges import Edges
from manyviews_graphs.pretexts.question import PropertyQuestion

Property = Literal["degree", "log_degree", "clustering"]


def ask_property(edges: Edges, name: Property) -> PropertyQuestion:
    """Of every node."""
    values = clustering(edges) if name == "clustering" else neighbours(edges)
    values = values.log1p() if name == "log_degree" else values
    nodes = torch.arange(edges.nodes, device=values.device)
    return PropertyQuestion(nodes, None, values[:, None], torch.ones_like(nodes, dtype=torch.bool))


def neighbours(edges: Edges) -> Float[Tensor, "nodes"]:
    """Edges into each node from another."""
    between = (edges.source != edges.target).float()
    return torch.zeros(edges.nodes, device=between.device).index_add(0, edges.target, between)


def clustering(edges: Edges) -> Float[Tensor, "nodes"]:
    """Share of the pairs of a node's neighbours that are connected (Watts & Strogatz 1998); 0 with fewer than two.

    On the host: products of sparse matrices.
    """
    one, two = (part.cpu().numpy() for part in (edges.source, edges.target))
    between = one != two
    one, two = one[between], two[between]
    matrix = csr_array((np.ones(len(one)), (one, two)), shape=(edges.nodes, edges.nodes))
    matrix = ((matrix + matrix.T) > 0).astype(np.float64)
    degree = np.asarray(matrix.sum(1)).ravel()
    closed = np.asarray((matrix @ matrix).multiply(matrix).sum(1)).ravel()
    shares = np.divide(closed, degree * (degree - 1), out=np.zeros_like(closed), where=degree > 1)
    return sent(torch.from_numpy(shares).float(), edges.source.device)
