"""TU data sets in their official layout (Morris et al. 2020): `DS_A.txt`, `DS_graph_indicator.txt` and what there is beside.

Everything is counted from 1 through all graphs, one line an item: `DS_A` has `row, column` of each edge, the indicator
each node's graph, and labels (inputs) and attributes of nodes and edges stand line by line beside.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int, Shaped

from manyviews.errors import DataError
from manyviews.source import Labels
from manyviews_graphs.reading.files import not_empty, stat_of
from manyviews_graphs.reading.parts import part
from manyviews_graphs.reading.raw import Options, RawGraphs
from manyviews_graphs.reading.targets import labels_of

_OF_GRAPHS = ("A", "graph_indicator", "graph_labels", "graph_attributes")
PARTS = (*_OF_GRAPHS, "node_labels", "node_attributes", "edge_labels", "edge_attributes")
INDICATOR = "graph_indicator"
USES: frozenset[str] = frozenset()


def find(folder: Path) -> dict[str, Path] | None:
    """The files of the data set in this folder or its `raw`, by part; None where there is none."""
    for place in (folder, folder / "raw"):
        for file in sorted(place.glob(f"*_{INDICATOR}.txt")):
            prefix = file.name.removesuffix(f"{INDICATOR}.txt")
            return {name: path for name in PARTS if (path := place / f"{prefix}{name}.txt").is_file()}
    return None


def read(folder: Path, options: Options) -> RawGraphs:
    """Every graph of the folder, also a last one that has no nodes.

    Raises:
        DataError: A file is missing, holds something else than numbers, or too few or too many of them.
    """
    files = find(folder)
    assert files is not None, "chosen because they are there"
    if "A" not in files:
        raise DataError(
            f"{files[INDICATOR]}: the edges, {files[INDICATOR].name.replace(INDICATOR, 'A')}, do not stand beside it"
        )
    found = {name: _numbers(file) for name, file in files.items()}
    owner, edges = found[INDICATOR][:, 0], found["A"]
    for name, wanted, what in _sizes(len(owner), len(edges)):
        if name in found and len(found[name]) != wanted:
            raise DataError(f"{files[name]}: {len(found[name])} lines for {wanted} {what}; expected one for each")
    if edges.shape[1] != 2 or edges.dtype.kind == "f":
        raise DataError(
            f"{files['A']}: line 1 is {edges[0].tolist()}; expected two numbers of nodes, `row, column`, on each line"
        )
    labels = _labels(found, files)
    parts = part(edges[:, 0] - 1, edges[:, 1] - 1, owner, 0 if labels is None else len(labels.values), str(files["A"]), first=1)
    if labels is not None and len(labels.values) != len(parts.nodes):
        raise DataError(f"{folder}: {len(labels.values)} graphs have a {labels.name}, and {len(parts.nodes)} have nodes")
    return RawGraphs(
        where=str(folder),
        many=True,
        nodes=parts.nodes,
        edges=parts.edges,
        source=parts.source,
        target=parts.target,
        x=_float(found.get("node_attributes")),
        node_labels=_category(found.get("node_labels")),
        edge_x=_float(found.get("edge_attributes"), parts.order),
        edge_labels=_category(found.get("edge_labels"), parts.order),
        labels=labels,
        fingerprint={name: stat_of(file) for name, file in files.items()},
    )


def _numbers(file: Path) -> Shaped[np.ndarray, "lines columns"]:
    try:
        found = pd.read_csv(not_empty(file), header=None, skipinitialspace=True).to_numpy()
    except pd.errors.ParserError as error:
        raise DataError(f"{file}: {' '.join(str(error).split())}") from error
    if found.dtype.kind in "iuf":
        return found
    row = next(i for i, line in enumerate(found.tolist()) if any(isinstance(cell, str) for cell in line))
    raise DataError(f"{file}: line {row + 1} holds {found[row].tolist()}; expected numbers")


def _sizes(nodes: int, edges: int) -> list[tuple[str, int, str]]:
    of_nodes = [(part, nodes, "nodes") for part in ("node_labels", "node_attributes")]
    return of_nodes + [(part, edges, "edges") for part in ("edge_labels", "edge_attributes")]


def _labels(found: Mapping[str, np.ndarray], files: Mapping[str, Path]) -> Labels | None:
    if "graph_labels" in found:
        values, where = found["graph_labels"][:, 0], str(files["graph_labels"])
        return labels_of("class", values, where, "classification", unlabelled=None)
    if "graph_attributes" in found:
        return labels_of("attribute", found["graph_attributes"][:, 0], str(files["graph_attributes"]), "regression")
    return None


def _float(found: np.ndarray | None, order: Int[np.ndarray, "items"] | None = None) -> np.ndarray | None:
    if found is None:
        return None
    return (found if order is None else found[order]).astype(np.float32)


def _category(found: np.ndarray | None, order: Int[np.ndarray, "items"] | None = None) -> np.ndarray | None:
    """The label of each; several labels together are one category."""
    if found is None:
        return None
    found = found if order is None else found[order]
    if found.shape[1] == 1:
        return found[:, 0]
    return np.array([",".join(str(label) for label in row) for row in found.tolist()])
