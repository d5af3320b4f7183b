"""The words that a graph is written in, beside the numbers of its nodes: signs, and what nodes and edges are labelled by."""

from __future__ import annotations

from dataclasses import dataclass

from manyviews_graphs.spec import GraphSpec

END, JUMP, BACK, BOTH = 0, 1, 2, 3
"""The walk is over; the next node is of another connected part; where edges have a direction, the next one is walked
against it, or there is one in each direction.
"""


@dataclass(frozen=True)
class Labels:
    """One-hot channels, and the words that stand for them."""

    channel: int
    """The first of them."""
    size: int
    word: int
    """Of the first of them."""


@dataclass(frozen=True)
class Vocabulary:
    """What the channels of nodes and edges become: labels are words, numbers are read beside the number of a node."""

    nodes: tuple[Labels, ...]
    edges: tuple[Labels, ...]
    numbers: int
    """Channels of nodes, from the first, that are numbers."""
    edge_numbers: int
    directed: bool
    """Whether it has to be said which way an edge goes."""
    size: int
    """Words in all, the numbers of nodes apart."""

    @classmethod
    def of(cls, spec: GraphSpec) -> Vocabulary:
        """Degrees and constants are no words: the walk itself says as much."""
        told = len(spec.labels) if spec.features in ("given", "one_hot") else 0
        numbers = spec.channels - told - len(spec.node_types)
        nodes, word = _labels(numbers, (told, len(spec.node_types)), BOTH + 1)
        edge_numbers = spec.edge_channels - len(spec.edge_labels) - len(spec.edge_types)
        edges, word = _labels(edge_numbers, (len(spec.edge_labels), len(spec.edge_types)), word)
        return cls(nodes, edges, numbers if spec.features == "given" else 0, edge_numbers, not spec.undirected, word)


def _labels(channel: int, sizes: tuple[int, ...], word: int) -> tuple[tuple[Labels, ...], int]:
    """Groups of channels one after another, those without any left out, and the next word."""
    found = []
    for size in sizes:
        if size:
            found.append(Labels(channel, size, word))
        channel, word = channel + size, word + size
    return tuple(found), word
