"""What encoders must know, found on the graphs trained on: where features come from, how many, in which order and scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse
from jaxtyping import Bool, Float, Int, Shaped

from manyviews.errors import DataError
from manyviews_graphs.reading.raw import Matrix, RawGraphs
from manyviews_graphs.spec import GraphSpec

Features = Literal["given", "one_hot", "degree", "constant"]
CHUNK = 1 << 16
"""Rows looked at together."""


@dataclass(frozen=True)
class Wishes:
    """What a recipe says of features."""

    features: Features | Literal["auto"] = "auto"
    max_degree: int = 400
    normalize: Literal["auto", "row", "standard", "none"] = "auto"


def choose(raw: RawGraphs, wished: Features | Literal["auto"]) -> tuple[Features, tuple[str, ...]]:
    """Where features come from, and what is to be said of it. Never from what probes predict.

    Raises:
        DataError: What is wished for is not there.
    """
    telling = raw.node_labels is not None and len(raw.node_labels) > 0 and bool((raw.node_labels != raw.node_labels[0]).any())
    given = raw.x is not None or raw.node_kinds is not None
    if wished == "given" and not given and not telling:
        raise DataError(f"{raw.where}: nodes have no features (data.features: given); choose degree or constant")
    if wished == "one_hot" and codes_of(raw) is None:
        raise DataError(f"{raw.where}: nodes have no labels, nor a single whole number (data.features: one_hot)")
    if wished != "auto":
        return wished, ()
    if telling:
        left = (
            () if raw.x is None else (f"node labels are the features; {raw.x.shape[1]} attributes join with features: given",)
        )
        return "one_hot", left
    if given:
        return "given", ()
    return "degree", ("nodes have no features: their degrees stand in (features: degree); features: constant knows even less",)


def codes_of(raw: RawGraphs) -> Shaped[np.ndarray, "nodes"] | None:
    """The label of each node: the data's own, or features that are a single whole number."""
    if raw.node_labels is not None:
        return raw.node_labels
    x = raw.x
    return x[:, 0] if isinstance(x, np.ndarray) and x.shape[1] == 1 and x.dtype.kind in "iu" else None


def fit(
    raw: RawGraphs,
    wishes: Wishes,
    degrees: Int[np.ndarray, "nodes"],
    trained: Bool[np.ndarray, "nodes"] | None,
    trained_edges: Bool[np.ndarray, "edges"] | None,
) -> tuple[GraphSpec, tuple[str, ...]]:
    """The spec of features of nodes and edges, and what is to be said of them.

    Args:
        raw: Checked graphs.
        wishes: The recipe's.
        degrees: Of all nodes.
        trained: The nodes of training graphs; None: all.
        trained_edges: The given edges of training graphs; None: all.

    Raises:
        DataError: What is wished for is not there.
    """
    features, notes = choose(raw, wishes.features)
    labels: tuple[str, ...] = ()
    most = own = 0
    normalize: Literal["row", "standard", "none"] = "none"
    if features in ("one_hot", "given"):
        labels = vocabulary(codes_of(raw) if features == "one_hot" else raw.node_labels, trained)
    if features == "degree":
        most = min(int(_of(degrees, trained).max(initial=0)), wishes.max_degree)
    x = raw.x if features == "given" else None
    if x is not None:
        own, normalize = x.shape[1], _normalize(raw, x) if wishes.normalize == "auto" else wishes.normalize
    elif wishes.normalize not in ("auto", "none"):
        raise DataError(f"data.normalize: {wishes.normalize} is for features that data bring; these are made ({features})")
    mean, scale = _moments(x, trained) if x is not None and normalize == "standard" else ((), ())
    made = {"given": own + len(labels), "one_hot": len(labels), "degree": most + 1, "constant": 1}[features]
    node_types = raw.node_kinds.names if raw.node_kinds else ()
    edge_types = raw.edge_kinds.names if raw.edge_kinds else ()
    edge_labels = vocabulary(raw.edge_labels, trained_edges)
    spec = GraphSpec(
        channels=made + len(node_types),
        features=features,
        normalize=normalize,
        mean=mean,
        scale=scale,
        labels=labels,
        attributes=raw.attributes if features == "given" else (),
        max_degree=most,
        edge_channels=(0 if raw.edge_x is None else raw.edge_x.shape[1]) + len(edge_labels) + len(edge_types),
        edge_labels=edge_labels,
        node_types=node_types,
        edge_types=edge_types,
    )
    return spec, notes


def vocabulary(labels: Shaped[np.ndarray, "items"] | None, trained: Bool[np.ndarray, "items"] | None) -> tuple[str, ...]:
    """The different labels of training graphs in ascending order, as text."""
    return () if labels is None else tuple(str(label) for label in np.unique(_of(labels, trained)).tolist())


def _of(values: Shaped[np.ndarray, "items"], chosen: Bool[np.ndarray, "items"] | None) -> Shaped[np.ndarray, "chosen"]:
    return values if chosen is None else values[chosen]


def _normalize(raw: RawGraphs, x: Matrix) -> Literal["row", "standard", "none"]:
    """Bags of words by row, as all the field does; columns with names, each in a unit of its own, by column."""
    if not isinstance(x, np.ndarray):
        return "row" if x.data.min(initial=0) >= 0 else "none"
    return "standard" if raw.attributes else "none"


def _moments(x: Matrix, trained: Bool[np.ndarray, "nodes"] | None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel over the training nodes; 1 for a channel that never varies."""
    total = np.zeros(x.shape[1])
    squares, count = np.zeros(x.shape[1]), 0
    shift = _dense(x[:1])[0]
    for at in range(0, x.shape[0], CHUNK):
        dense = _dense(x[at : at + CHUNK]) - shift
        dense = dense if trained is None else dense[trained[at : at + CHUNK]]
        total, squares, count = total + dense.sum(0), squares + (dense**2).sum(0), count + len(dense)
    mean = total / max(count, 1)
    spread = np.sqrt(np.maximum(squares / max(count, 1) - mean**2, 0))
    return tuple((mean + shift).tolist()), tuple(np.where(spread > 1e-8 * np.abs(mean + shift), spread, 1.0).tolist())


def _dense(rows: Matrix) -> Float[np.ndarray, "rows channels"]:
    return np.asarray(rows if isinstance(rows, np.ndarray) else rows.toarray(), dtype=np.float64)


def as_sparse(x: Matrix | None) -> Matrix | None:
    """Dense features that are zeros for nine tenths or more, as a sparse matrix: the same numbers, a tenth of the work."""
    if not isinstance(x, np.ndarray) or x.size == 0 or np.count_nonzero(x[:CHUNK]) > x[:CHUNK].size / 10:
        return x
    parts = [scipy.sparse.csr_matrix(x[at : at + CHUNK]) for at in range(0, len(x), CHUNK)]
    whole = scipy.sparse.vstack(parts).tocsr()
    return whole if whole.nnz <= x.size / 10 else x
