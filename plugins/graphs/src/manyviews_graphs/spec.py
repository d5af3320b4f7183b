"""What encoders must know of a set of graphs, stored with every checkpoint."""

from __future__ import annotations

from typing import Literal

from manyviews.source import Spec


class GraphSpec(Spec):
    """Fitted on the graphs trained on; new graphs are read as it says."""

    alike = (
        *("channels", "features", "normalize", "mean", "scale", "labels", "attributes", "max_degree", "node_types"),
        *("edge_channels", "edge_attributes", "edge_labels", "edge_types", "undirected", "self_loops"),
        *("place_kind", "place_channels", "paths"),
    )
    channels: int
    """Features of a node, as the encoder is given them."""
    features: Literal["given", "one_hot", "degree", "constant"] = "given"
    """Where they come from: the data's own, a one-hot node label, the node's degree or a constant where there are none."""
    normalize: Literal["row", "standard", "none"] = "none"
    """`row`: the features of a node add up to 1 (GraphMAE, DGI and GCN do this to bags of words). `standard`: each of the
    data's own channels has mean 0 and standard deviation 1."""
    mean: tuple[float, ...] = ()
    """With `standard`, of each of the data's own channels; `scale` is its standard deviation."""
    scale: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()
    """The node labels, in order of their channels, with `one_hot`, and behind the data's own features with `given`, where there
    are any; a label that is not among them has no channel."""
    attributes: tuple[str, ...] = ()
    """With `given`, the columns or attributes of nodes that are features, where they have names."""
    node_label: str | None = None
    """The column or attribute of nodes that `labels` are values of, where it has a name."""
    max_degree: int = 0
    """With `degree`, the last channel stands for this degree and all above."""
    edge_channels: int = 0
    edge_attributes: tuple[str, ...] = ()
    """The columns or attributes of edges that are features, where they have names."""
    edge_labels: tuple[str, ...] = ()
    """One-hot labels of edges, in order of their channels; empty where edge features are numbers or there are none."""
    undirected: bool = True
    """Every edge holds in both directions."""
    self_loops: Literal["drop", "keep"] = "drop"
    """What becomes of edges from a node to itself; encoders that need one at each node add it."""
    node_types: tuple[str, ...] = ()
    """Types of a heterogeneous graph's nodes; the last `len(node_types)` channels say which."""
    edge_types: tuple[str, ...] = ()
    """Types of its edges; the last `len(edge_types)` edge channels say which."""
    place_kind: Literal["rwpe", "lappe", "none"] = "none"
    place_channels: int = 0
    samples: Literal["graph", "graphs", "neighbourhoods"] = "graph"
    """One whole graph, many graphs, or seed nodes with sampled neighbours."""
    neighbours: tuple[int, ...] = ()
    """With `neighbourhoods`, the most neighbours that are sampled at each hop; -1: all."""
    paths: bool = False
    """Graphs are also written as sequences of tokens, along a random Eulerian path."""
