"""Positional encodings: what a node's place in its graph is, whatever its features.

Both are found once, at load, part by part: neither makes a matrix of all nodes against all nodes of a large graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from jaxtyping import Float, Int
from pydantic import BaseModel, ConfigDict, PositiveInt

from manyviews.errors import DataError
from manyviews_graphs.csr import CSR

BLOCK = 256
"""Nodes whose walks are followed together."""
MOST_WORK = 1e12
"""Multiplications beyond which random walks are refused: some half an hour of one core."""
DENSE = 512
"""Nodes of a component up to which all eigenvectors are found, of which the asked ones are kept."""
Encoding = Float[np.ndarray, "nodes channels"]


class Places(BaseModel):
    """Which encoding, and its channels."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["rwpe", "lappe"]
    channels: PositiveInt = 16


def encode(csr: CSR, nodes: Int[np.ndarray, "graphs"], places: Places, *, undirected: bool, where: str) -> Encoding:
    """The encoding of every node; `nodes`: of each graph.

    Raises:
        DataError: The graph is too large for it.
    """
    if places.kind == "rwpe":
        return random_walks(csr, nodes, places.channels, undirected=undirected, where=where)
    return laplacian(csr, places.channels, where=where)


def random_walks(
    csr: CSR, nodes: Int[np.ndarray, "graphs"], channels: int, *, undirected: bool, where: str = "the graph"
) -> Encoding:
    """RWPE (Dwivedi et al. 2022): the probability to be back after 1, 2, … `channels` steps of a random walk, diag(P^k).

    P = D⁻¹A. On an undirected graph the walk is reversible, P^k_ij d_i = P^k_ji d_j, and so
    diag(P^(a+b))_i = Σ_j P^a_ij P^b_ij d_i / d_j: half the steps are walked. A node without edges is never back: zeros.

    Raises:
        DataError: It would take hours.
    """
    out = np.bincount(csr.source, minlength=csr.nodes).astype(np.float64)
    steps = scipy.sparse.csr_matrix((1 / out[csr.source], csr.source, csr.pointer), shape=(csr.nodes, csr.nodes))  # Pᵀ
    found = np.zeros((csr.nodes, channels), dtype=np.float32)
    parts = list(_parts(nodes))
    walked = channels - channels // 2 if undirected else channels
    work = walked * sum((stop - start) * int(csr.pointer[stop] - csr.pointer[start]) for start, stop in parts)
    if work > MOST_WORK:
        raise DataError(
            f"data.places: random walks from each of {csr.nodes:,} nodes of {where} take {work:.0e} multiplications: hours\n"
            "Take kind: lappe, or leave `places` out."
        )
    for start, stop in parts:
        part = steps[start:stop, start:stop]
        for first in range(start, stop, BLOCK):
            block = np.arange(first, min(first + BLOCK, stop)) - start
            walk = _returns_by_halves if undirected else _returns
            found[block + start] = walk(part, block, channels, out[start:stop])
    return found


def _parts(nodes: Int[np.ndarray, "graphs"]) -> Iterator[tuple[int, int]]:
    """Ranges of nodes: as many whole graphs together as make up a block."""
    ends = np.cumsum(nodes)
    start = 0
    for number, end in enumerate(ends.tolist()):
        if number + 1 == len(ends) or ends[number + 1] - start > BLOCK:
            if end > start:
                yield start, end
            start = end


def _returns(
    steps: scipy.sparse.csr_matrix, block: Int[np.ndarray, "block"], channels: int, degrees: Float[np.ndarray, "nodes"]
) -> Float[np.ndarray, "block channels"]:
    """Walks of all lengths, one column a start."""
    columns = np.arange(len(block))
    at = _starts(len(degrees), block)
    found = np.empty((len(block), channels))
    for step in range(channels):
        at = steps @ at
        found[:, step] = at[block, columns]
    return found


def _returns_by_halves(
    steps: scipy.sparse.csr_matrix, block: Int[np.ndarray, "block"], channels: int, degrees: Float[np.ndarray, "nodes"]
) -> Float[np.ndarray, "block channels"]:
    """There in a steps and back in b: a walk and one of the same length or a step shorter."""
    weight = np.divide(1, degrees, out=np.zeros_like(degrees), where=degrees > 0)
    at = _starts(len(degrees), block)
    found = np.empty((len(block), channels))
    for step in range(channels):
        before, at = (at, steps @ at) if step % 2 == 0 else (at, at)
        found[:, step] = np.einsum("nb,nb,n->b", before, at, weight) * degrees[block]
    return found


def _starts(nodes: int, block: Int[np.ndarray, "block"]) -> Float[np.ndarray, "nodes block"]:
    at = np.zeros((nodes, len(block)))
    at[block, np.arange(len(block))] = 1
    return at


def laplacian(csr: CSR, channels: int, *, where: str = "the graph") -> Encoding:
    """LapPE (Dwivedi et al. 2020): the eigenvectors of I − D^(−½) A D^(−½) with the smallest eigenvalues, without the trivial.

    Of each connected component by itself, since only there they are defined; a component of n nodes has n − 1, and zeros
    behind. Direction and self-loops do not count. An eigenvector's sign is arbitrary: here its largest entry is positive,
    which makes runs repeatable and says nothing; of equal eigenvalues the vectors are any basis. An encoder that should not
    lean on either sees signs flipped at random while it trains.

    Raises:
        DataError: The eigenvectors of a large component were not found.
    """
    target = np.repeat(np.arange(csr.nodes), np.diff(csr.pointer))
    between = csr.source != target
    ends = (target[between], csr.source[between])
    graph = scipy.sparse.csr_matrix((np.ones(len(ends[0])), ends), shape=(csr.nodes, csr.nodes))
    graph = graph.maximum(graph.T).tocsr()
    degrees = np.asarray(graph.sum(1)).ravel()
    root = np.divide(1, np.sqrt(degrees), out=np.zeros_like(degrees), where=degrees > 0)
    scaled = scipy.sparse.diags_array(root) @ graph @ scipy.sparse.diags_array(root)
    _, component = scipy.sparse.csgraph.connected_components(graph, directed=False)
    order = np.argsort(component, kind="stable")
    scaled = scipy.sparse.csr_matrix(scaled)[order][:, order]
    found = np.zeros((csr.nodes, channels), dtype=np.float32)
    sizes = np.bincount(component)
    for stop, size in zip(np.cumsum(sizes).tolist(), sizes.tolist(), strict=True):
        if size > 1:
            vectors = _eigenvectors(scaled[stop - size : stop, stop - size : stop], min(channels, size - 1), where)
            found[order[stop - size : stop], : vectors.shape[1]] = vectors
    return found


def _eigenvectors(scaled: scipy.sparse.csr_matrix, count: int, where: str) -> Float[np.ndarray, "nodes count"]:
    """The `count` largest of a connected component's scaled adjacency, behind the first."""
    size = scaled.shape[0]
    if size <= DENSE:
        _, vectors = np.linalg.eigh(scaled.toarray())
        vectors = vectors[:, ::-1]
    else:
        start = np.random.default_rng(0).random(size)
        try:
            values, vectors = scipy.sparse.linalg.eigsh(scaled, k=count + 1, which="LA", v0=start)
        except scipy.sparse.linalg.ArpackError as error:
            raise DataError(
                f"data.places: the eigenvectors of a component of {size:,} nodes of {where} were not found ({error})"
            ) from error
        vectors = vectors[:, np.argsort(-values, kind="stable")]
    vectors = vectors[:, 1 : count + 1]
    largest = np.abs(vectors).argmax(0)
    return vectors * np.sign(vectors[largest, np.arange(vectors.shape[1])])
