"""PairwiseDistance and DistanceCluster: how far apart are nodes? (Jin et al. 2020, section 3.1.1 and 3.1.2)"""

from __future__ import annotations

from itertools import pairwise

import networkx as nx
import numpy as np
import torch
from jaxtyping import Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, dijkstra
from torch import Tensor

from manyviews.errors import UserError
from manyviews.lengths import Lengths
from manyviews.moving import sent
from manyviews.objectives.shared import exact
from manyviews_graphs.edges import Edges
from manyviews_graphs.pretexts.pairs import choose_pairs, chunks
from manyviews_graphs.pretexts.question import ClusterQuestion, DistanceQuestion

FARTHEST = 4
"""Shortest paths are told apart up to this many edges; longer ones, and none at all, count as this many."""


def ask_distances(
    edges: Edges, scope: Lengths, anchors: Int[Tensor, "anchors"], partners: int, generator: torch.Generator
) -> DistanceQuestion:
    """For each anchor `partners` random nodes at each of the distances 1, 2, 3 and more, as far as there are so many."""
    owners = scope.owners()
    ones, twos, answers, known = [], [], [], []
    for some in chunks(anchors, edges.nodes):
        far = distances(edges, some)
        far = torch.where(owners[:, None] == owners[some], far, 0)
        for distance in range(1, FARTHEST + 1):
            two, found = choose_pairs(far == distance, partners, generator)
            ones.append(some.repeat_interleave(partners))
            twos.append(two)
            known.append(found)
            answers.append(torch.full_like(two, distance - 1))
    return DistanceQuestion(torch.cat(ones), torch.cat(twos), torch.cat(answers), torch.cat(known))


def distances(edges: Edges, sources: Int[Tensor, "sources"]) -> Int[Tensor, "nodes sources"]:
    """Edges on the shortest path from each source to each node, by breadth-first search in both directions of the edges;
    0 for itself, `FARTHEST` for all that is as far or farther.
    """
    far = torch.full((edges.nodes, len(sources)), FARTHEST, device=sources.device).scatter_(0, sources[None], 0)
    into, out = _adjacency(edges)
    for before, distance in pairwise(range(FARTHEST)):
        frontier = (far == before).float()
        with exact(frontier):
            reached = (into @ frontier + out @ frontier) > 0
        far = torch.where(reached & (far == FARTHEST), distance, far)
    return far


def _adjacency(edges: Edges) -> tuple[Tensor, Tensor]:
    """The sparse matrix of the edges, and its transpose."""
    shape, ones = (edges.nodes, edges.nodes), torch.ones(len(edges), device=edges.source.device)
    out = torch.cat([edges.out_degree.new_zeros(1), edges.out_degree.cumsum(0)])
    return (
        torch.sparse_csr_tensor(edges.pointer, edges.source, ones, shape, check_invariants=False),
        torch.sparse_csr_tensor(out, edges.target[edges.by_source], ones, shape, check_invariants=False),
    )


def ask_closeness(edges: Edges, clusters: int) -> ClusterQuestion:
    """Of every node, 1 / distance to the centre of each cluster: 1 for the centre itself, 0 where no path leads there.

    As in the authors' code, where the paper has the distance, which does not exist for a node of another component.

    Raises:
        UserError: The largest component of the graph has fewer nodes than clusters are asked for.
    """
    matrix = csr_array(
        (np.ones(len(edges)), (edges.target.cpu().numpy(), edges.source.cpu().numpy())), shape=(edges.nodes, edges.nodes)
    )
    far = dijkstra(matrix, directed=False, unweighted=True, indices=centres(matrix, clusters)).T
    close = sent(torch.from_numpy(1 / np.maximum(far, 1)).float(), edges.source.device)
    nodes = torch.arange(edges.nodes, device=edges.source.device)
    return ClusterQuestion(nodes, None, close, torch.ones_like(nodes, dtype=torch.bool))


def centres(matrix: csr_array, clusters: int) -> Int[np.ndarray, "clusters"]:
    """The node with most neighbours within its cluster, for each cluster of the largest component.

    The paper's clusters are METIS's; these are fluid communities (Pares et al. 2018), of which one can ask for a number too.
    """
    _, component = connected_components(matrix, directed=False)
    inside = np.flatnonzero(component == np.bincount(component).argmax())
    if len(inside) < clusters:
        raise UserError(
            f"distance_cluster: the largest connected part of the graph has {len(inside)} nodes, and {clusters} clusters are "
            "asked for; set `clusters` lower"
        )
    graph = nx.from_scipy_sparse_array(matrix[inside][:, inside])
    graph.remove_edges_from(list(nx.selfloop_edges(graph)))
    communities = nx.community.asyn_fluidc(graph, clusters, seed=0)
    found = [max(sorted(some), key=graph.subgraph(some).degree) for some in communities]
    return inside[found]
