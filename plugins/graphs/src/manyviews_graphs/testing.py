"""Small graphs of every kind, and the sizes at which the package's parts are tried on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from manyviews.testing.trial import Trial


def graphs(folder: Path) -> dict[str, Any]:
    """Rings and stars of several sizes with features of nodes and edges: which of the two, the label says."""
    import numpy as np

    random, ends, batch, first = np.random.default_rng(0), list[tuple[int, int]](), list[int](), 0
    for number in range(24):
        size = 5 + number % 7
        ring = number % 2 == 0
        ends += [(first + i if ring else first, first + (i + 1) % size) for i in range(0 if ring else 1, size)]
        batch += [number] * size
        first += size
    edges = np.array(ends).T
    both = np.concatenate([edges, edges[::-1]], axis=1)
    x = random.normal(size=(first, 4)).astype(np.float32)
    lengths = random.random((edges.shape[1],)).astype(np.float32)
    np.savez(
        folder / "graphs.npz",
        edge_index=both,
        edge_attr=np.stack([np.tile(lengths, 2), np.tile(1 - lengths, 2)], axis=1),
        x=x,
        batch=np.array(batch),
        y=np.arange(24) % 2,
    )
    return {"data": {"source": "graph", "path": str(folder / "graphs.npz")}}


def communities(nodes: int = 48) -> dict[str, Any]:
    """Three groups of nodes, edges mostly within a group, words mostly of a group; a node without any edge."""
    import numpy as np
    import scipy.sparse

    random = np.random.default_rng(1)
    group = np.arange(nodes) % 3
    near = group[:, None] == group
    adjacent = np.triu(random.random((nodes, nodes)) < np.where(near, 0.2, 0.02), 1)
    adjacent[-1] = adjacent[:, -1] = False
    words = random.random((nodes, 12)) < np.where(group[:, None] == np.arange(12) % 3, 0.5, 0.1)
    words[:, 0] |= ~words.any(1)
    adjacency, attributes = (scipy.sparse.csr_matrix(part.astype(np.float32)) for part in (adjacent | adjacent.T, words))
    matrices = {"adj": adjacency, "attr": attributes}
    arrays = {f"{name}_{part}": getattr(m, part) for name, m in matrices.items() for part in ("data", "indices", "indptr")}
    return arrays | {f"{name}_shape": np.array(m.shape) for name, m in matrices.items()} | {"labels": group}


def graph(folder: Path) -> dict[str, Any]:
    """One graph with sparse features."""
    import numpy as np

    np.savez(folder / "graph.npz", **communities())
    data = {"source": "graph", "path": str(folder / "graph.npz"), "splits": {"valid": 0.25, "test": 0.25}}
    return {"data": data, "unit": "token", "train": {"batch_size": 1}}


def neighbourhoods(folder: Path) -> dict[str, Any]:
    """Nodes of one graph with all neighbours in two hops: what two layers read, whatever else is in the batch."""
    return {"data": {**graph(folder)["data"], "neighbours": [-1, -1]}}


def sampled(folder: Path) -> dict[str, Any]:
    """Nodes of one graph with neighbours sampled around them."""
    return {"data": {**graph(folder)["data"], "neighbours": [4, 3]}}


def placed(folder: Path) -> dict[str, Any]:
    """Graphs with positional encodings."""
    return {"data": {**graphs(folder)["data"], "places": {"kind": "rwpe", "channels": 3}}}


def paths(folder: Path) -> dict[str, Any]:
    """Graphs written as sequences."""
    return {"data": {**graphs(folder)["data"], "paths": True}}


def labelled(folder: Path) -> dict[str, Any]:
    """Rings of atoms in TU's layout: labels of nodes are their features, and classes to fill in."""
    sizes = [4 + number % 5 for number in range(20)]
    starts = [sum(sizes[:number]) + 1 for number in range(20)]
    ends = [(start + i, start + (i + 1) % size) for start, size in zip(starts, sizes, strict=True) for i in range(size)]
    lines: dict[str, list[Any]] = {
        "A": [f"{a}, {b}" for one, two in ends for a, b in ((one, two), (two, one))],
        "graph_indicator": [number + 1 for number, size in enumerate(sizes) for _ in range(size)],
        "graph_labels": [number % 2 for number in range(20)],
        "node_labels": [i % 3 if number % 2 else i % 2 for number, size in enumerate(sizes) for i in range(size)],
    }
    for part, rows in lines.items():
        (folder / f"RINGS_{part}.txt").write_text("".join(f"{row}\n" for row in rows))
    return {"data": {"source": "graph", "path": str(folder)}}


SMALL = {"width": 16, "layers": 2}
WHOLE = ("graphs", "graph")
OF_ONE_GRAPH = (
    *("graphmae", "graphmae_citeseer", "graphmae_pubmed", "dgi", "grace", "bgrl", "cca_ssg", "paretognn"),
    *("selftask_edge_mask", "selftask_attribute_mask", "selftask_node_property"),
    *("selftask_pairwise_distance", "selftask_distance_cluster", "selftask_pairwise_similarity"),
)
OF_PARTS = ("bgrl", "cca_ssg", "grace", "graphcl", "paretognn", "selftask_edge_mask")
LEFT = (
    "how many edges or nodes a coin's toss leaves, only the device knows, and sorting and summing along them needs the number"
)
OF_STRANGERS = ("graphmae", "graphmae_citeseer", "graphmae_sampled")
STRANGE = "how many entries the sparse rows of nodes drawn at random have, only the device knows"
TRIAL = Trial(
    data={
        "graphs": graphs,
        "graph": graph,
        "neighbourhoods": neighbourhoods,
        "sampled": sampled,
        "placed": placed,
        "paths": paths,
        "labelled": labelled,
    },
    parts={
        "graphs/gat": {**SMALL, "heads": 2},
        "graphs/gcn": {**SMALL, "norm": "layer"},
        "graphs/gin": SMALL,
        "graphs/transformer": {**SMALL, "heads": 2},
        "graphs/graphgpt": {"width": 16, "depth": 1, "heads": 2, "numbers": 12},
        "graphs/diffusion": {"neighbours": 3},
        "jepa": {"width": 16, "depth": 1, "heads": 2},
        "masked_reconstruction": {"width": 16, "depth": 1, "heads": 2},
        "masked_codes": {"codes": 8},
        "dino": {"hidden": 32, "bottleneck": 16, "out": 64},
    },
    variants={
        "graphs/augment": {
            "adaptive": {"adaptive": True, "symmetric": True},
            "graphcl": {"edge_drop": 0.2, "feature_drop": 0.0, "node_drop": 0.2, "subgraph": 0.6, "one_of": True},
        },
        "graphs/node_mask": {"replace": {"replace": 0.3, "keep": 0.2}, "sample": {"per": "sample"}},
        "graphs/graphgpt": {"masked": {"causal": False}},
    },
    on={
        "prototypical": ("graphs",),
        "graphs/gat": (*WHOLE, "neighbourhoods"),
        "graphs/gcn": WHOLE,  # it weighs by degree, and what is known of a neighbour's degree depends on the batch
        "graphs/gin": (*WHOLE, "neighbourhoods", "labelled"),
        "graphs/transformer": (*WHOLE, "placed"),
        "graphs/graphgpt": ("paths",),
        **{f"graphs/{recipe}": ("graph",) for recipe in OF_ONE_GRAPH},
        "graphs/graphmae_sampled": ("neighbourhoods",),
        "graphs/graphmae_transformer": ("placed",),
        **{f"graphs/{recipe}": ("paths",) for recipe in ("graphgpt_next", "graphgpt_masked")},
    },
    single=("graph",),
    exceptions={
        **{f"graphs/{recipe}": {"a_step_waits_for_nothing": LEFT} for recipe in OF_PARTS},
        **{f"graphs/{recipe}": {"a_step_waits_for_nothing": STRANGE} for recipe in OF_STRANGERS},
    },
)
