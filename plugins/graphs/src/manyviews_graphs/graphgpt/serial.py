"""Graphs written as sequences of tokens (GraphGPT, Zhao et al. 2024, section 3): a walk over all edges, node by node.

A node is a token with its number, counted from 0 in the order of first visits and shifted by a random amount, round and
round (cyclic re-indexing). Where a node is visited first, its labels follow, a token each; where an edge is walked first,
its labels come before the node that it leads to. Signs say that the walk jumps, goes against an edge's direction, ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from manyviews.lengths import Lengths
from manyviews.moving import moved
from manyviews_graphs.edges import Edges
from manyviews_graphs.graphgpt.draws import Draws
from manyviews_graphs.graphgpt.vocabulary import BACK, BOTH, END, JUMP, Labels, Vocabulary
from manyviews_graphs.graphgpt.walk import Ends, Walk, walk

NODE = -1
"""In place of a word: the number of a node."""
ABSENT = -2
"""In place of a word: there is none."""


@dataclass(frozen=True)
class Serial:
    """The tokens of a batch of graphs, graph after graph."""

    word: Int[Tensor, "tokens"]
    """Of the vocabulary; `NODE` for a node."""
    number: Int[Tensor, "tokens"]
    """Of a node: how many others its graph's walk visited before it; 0 for words."""
    node: Int[Tensor, "tokens"]
    """The node whose features are read here: where it is visited first; else -1."""
    edge: Int[Tensor, "tokens"]
    """The edge whose features are read here, at the node that it leads to first; else -1."""
    lengths: Lengths
    shift: Int[Tensor, "samples"]
    """Added to the numbers of each graph's nodes."""
    most: int
    """Nodes of the largest graph."""

    def to(self, device: torch.device, non_blocking: bool = False) -> Serial:
        """The same on another device."""
        return moved(self, device, non_blocking)


def serialise(
    x: Float[Tensor, "nodes channels"],
    edges: Edges,
    lengths: Lengths,
    edge_x: Float[Tensor, "edges edge_channels"] | None,
    vocabulary: Vocabulary,
    draws: Draws,
    *,
    seeded: bool = False,
) -> Serial:
    """Write a batch of graphs, each by a random walk.

    Args:
        x: Features of nodes, dense or sparse.
        edges: Edges; those between different samples are left out.
        lengths: Nodes of each sample.
        edge_x: Features of edges.
        vocabulary: The words.
        draws: Of each sample.
        seeded: Walks begin at each sample's first node.
    """
    owners, starts = lengths.owners().numpy(), lengths.starts().numpy()
    ends = _ends(edges, owners)
    steps = walk(ends, draws, starts if seeded else None)
    first = _first_visits(steps.node)
    edge, sign = _directed(edges, steps)
    columns = [
        *_before(edge_x, vocabulary, steps, edge, sign, owners),
        np.full(len(steps.node), NODE),
        *(np.where(first, _taken(x, labels, steps.node), ABSENT) for labels in vocabulary.nodes),
        np.where(_closes(owners[steps.node]), END, ABSENT),
    ]
    words = np.stack(columns, axis=1)
    where = words != ABSENT
    visit = np.nonzero(where)[0]
    word = words[where]
    node = word == NODE
    number = _numbers(steps.node, first, owners, starts)
    every = np.arange(len(lengths))
    shift = (draws.uniform(every, np.zeros_like(every), 5) * 2**31).astype(np.int64)
    return Serial(
        torch.from_numpy(word),
        torch.from_numpy(np.where(node, number[visit], 0)),
        torch.from_numpy(np.where(node & first[visit], steps.node[visit], -1)),
        torch.from_numpy(np.where(node & steps.new[visit], edge[visit], -1)),
        Lengths.of(np.bincount(owners[steps.node[visit]], minlength=len(lengths)).tolist()),
        torch.from_numpy(shift),
        lengths.longest,
    )


def _ends(edges: Edges, owners: Int[np.ndarray, "nodes"]) -> Ends:
    """Each connected pair once."""
    one, two = edges.source.numpy(), edges.target.numpy()
    inside = (one != two) & (owners[one] == owners[two])
    low, high = np.sort(np.stack([one[inside], two[inside]]), axis=0)
    keys = np.unique(low * edges.nodes + high)
    return Ends(keys // max(edges.nodes, 1), keys % max(edges.nodes, 1), owners)


def _first_visits(node: Int[np.ndarray, "visits"]) -> Bool[np.ndarray, "visits"]:
    first = np.zeros(len(node), dtype=bool)
    first[np.unique(node, return_index=True)[1]] = True
    return first


def _numbers(
    node: Int[np.ndarray, "visits"],
    first: Bool[np.ndarray, "visits"],
    owners: Int[np.ndarray, "nodes"],
    starts: Int[np.ndarray, "samples"],
) -> Int[np.ndarray, "visits"]:
    """Nodes that its sample's walk visited before each one. Every node is visited, so those of earlier samples are `starts`."""
    number = np.empty(len(owners), dtype=np.int64)
    number[node[first]] = np.arange(len(owners))
    return (number - starts[owners])[node] if len(owners) else number


def _directed(edges: Edges, steps: Walk) -> tuple[Int[np.ndarray, "visits"], Int[np.ndarray, "visits"]]:
    """The edge of the batch by which each visit is reached (-1: none), and the sign for its direction, if it has one."""
    keys = (edges.target * edges.nodes + edges.source).numpy()  # ascending, by the order that edges are kept in
    reached = steps.edge >= 0
    before = np.where(reached, np.roll(steps.node, 1), 0)
    along, there = _place(keys, steps.node * edges.nodes + before)
    against, back = _place(keys, before * edges.nodes + steps.node)
    sign = np.where(there & back, BOTH, np.where(back, BACK, ABSENT))
    return np.where(reached, np.where(there, along, against), -1), np.where(reached, sign, ABSENT)


def _place(keys: Int[np.ndarray, "edges"], wanted: Int[np.ndarray, "visits"]) -> tuple[np.ndarray, np.ndarray]:
    if not len(keys):
        return np.zeros_like(wanted), np.zeros(len(wanted), dtype=bool)
    place = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return place, keys[place] == wanted


def _before(
    edge_x: Float[Tensor, "edges edge_channels"] | None,
    vocabulary: Vocabulary,
    steps: Walk,
    edge: Int[np.ndarray, "visits"],
    sign: Int[np.ndarray, "visits"],
    owners: Int[np.ndarray, "nodes"],
) -> list[Int[np.ndarray, "visits"]]:
    """What may stand before each visit, in this order: a jump, the edge's direction, its labels."""
    begins = np.roll(_closes(owners[steps.node]), 1)
    signs = [np.where((steps.edge < 0) & ~begins, JUMP, ABSENT)] + ([sign] if vocabulary.directed else [])
    return signs + [np.where(steps.new, _taken(edge_x, labels, edge), ABSENT) for labels in vocabulary.edges]


def _closes(sample: Int[np.ndarray, "visits"]) -> Bool[np.ndarray, "visits"]:
    """The last visit of each sample."""
    return np.concatenate([sample[1:] != sample[:-1], np.ones(len(sample[:1]), dtype=bool)])


def _taken(x: Tensor | None, labels: Labels, rows: Int[np.ndarray, "visits"]) -> Int[np.ndarray, "visits"]:
    """The word of each of these rows; `ABSENT` where no channel of the labels is set."""
    assert x is not None, "the vocabulary has labels of what the batch has"
    words = label_words(x, labels).numpy()
    return words[rows] if len(words) else np.full(len(rows), ABSENT)


def label_words(x: Float[Tensor, "rows channels"], labels: Labels) -> Int[Tensor, "rows"]:
    """The word for each row's label."""
    words = torch.full((x.shape[0],), ABSENT)
    if x.layout == torch.strided:
        largest, label = x[:, labels.channel : labels.channel + labels.size].max(1)
        return torch.where(largest > 0, labels.word + label, words)
    channel = x.col_indices() - labels.channel
    inside = (channel >= 0) & (channel < labels.size) & (x.values() > 0)
    rows = torch.repeat_interleave(x.crow_indices().diff())
    words[rows[inside]] = labels.word + channel[inside]
    return words
