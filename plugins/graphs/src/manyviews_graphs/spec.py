"""What encoders must know of a set of graphs, stored with every checkpoint."""

from __future__ import annotations

from typing import Literal

from manyviews.source import Spec


class GraphSpec(Spec):
    """Fitted on the graphs trained on; new graphs are read as it says."""

    channels: int
    """Features of a node, as the encoder is given them."""
    features: Literal["given", "one_hot", "degree", "constant"] = "given"
    """Where they come from: the data's own, a one-hot node label, the node's degree or a constant where there are none."""
    normalize: Literal["row", "none"] = "none"
    """`row`: the features of a node add up to 1 (GraphMAE, DGI and GCN do this to bags of words)."""
    labels: tuple[str, ...] = ()
    """With `one_hot`, the node labels, in order of their channels; a label that is not among them has no channel."""
    max_degree: int = 0
    """With `degree`, the last channel stands for this degree and all above."""
    edge_channels: int = 0
    edge_labels: tuple[str, ...] = ()
    """One-hot labels of edges, in order of their channels; empty where edge features are numbers or there are none."""
    undirected: bool = True
    """Every edge holds in both directions."""
    node_types: tuple[str, ...] = ()
    """Types of a heterogeneous graph's nodes; the last `len(node_types)` channels say which."""
    edge_types: tuple[str, ...] = ()
    """Types of its edges; the last `len(edge_types)` edge channels say which."""
    place_kind: Literal["rwpe", "lappe", "none"] = "none"
    place_channels: int = 0
    samples: Literal["graph", "graphs", "neighbourhoods"] = "graph"
    """One whole graph, many graphs, or seed nodes with sampled neighbours."""
