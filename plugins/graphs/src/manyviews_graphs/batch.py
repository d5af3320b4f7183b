"""What a source of graphs hands to its encoders: one large graph, many small ones, or neighbourhoods of seed nodes.

All three are one form: nodes back to back, one sample's after another's, and edges numbered through. What a sample is,
differs: the whole graph (one sample, its nodes are the units), a graph, or a seed node with the neighbours sampled for
it. Neighbours that several seeds share stand once, with the first of these seeds; a seed is its sample's first node.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from manyviews.lengths import Lengths
from manyviews.moving import moved
from manyviews_graphs.edges import Edges
from manyviews_graphs.graphgpt.serial import Serial


@dataclass(frozen=True)
class GraphBatch:
    """Nodes with features, and edges between nodes of one sample or, where samples are seeds, of any."""

    x: Float[Tensor, "nodes channels"]
    """Features, dense or `torch.sparse_csr`: never made dense as a whole."""
    edges: Edges
    lengths: Lengths
    """Nodes of each sample."""
    edge_x: Float[Tensor, "edges edge_channels"] | None = None
    """Features of the edges, in their order."""
    places: Float[Tensor, "nodes place_channels"] | None = None
    """Positional encodings (RWPE, LapPE), where the data are asked for them."""
    seeded: bool = False
    """Samples are seed nodes with their neighbourhoods: what stands for a sample is its first node, not a pool of all."""
    stand_ins: Int[Tensor, "nodes"] | None = None
    """For a withheld node the node whose features are shown in its place, -1 for the mask token; -1 for shown nodes."""
    numbers: Int[Tensor, "nodes"] | None = None
    """The node of the whole graph, or of the batch that it was cut out of, that each node is, where the batch is a part."""
    path: Serial | None = None
    """The graphs written as sequences of tokens, where the data are asked for it."""

    def __len__(self) -> int:
        return len(self.lengths)

    def to(self, device: torch.device, non_blocking: bool = False) -> GraphBatch:
        return moved(self, device, non_blocking)
