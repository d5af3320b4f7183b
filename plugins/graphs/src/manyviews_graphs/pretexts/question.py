"""What a pretext task asks about a view of graphs, and the answers. Each task has a class of its own, by which views and
objective are matched before anything runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Bool, Float, Int
from torch import Tensor

Task = Literal["edge_mask", "node_property", "pairwise_distance", "distance_cluster", "pairwise_similarity"]


@dataclass(frozen=True)
class Question:
    """About nodes, or about pairs of them."""

    one: Int[Tensor, "asked"]
    two: Int[Tensor, "asked"] | None
    """The partner of each node; None: the question is about the node alone."""
    answer: Int[Tensor, "asked"] | Float[Tensor, "asked out"]
    """A class or numbers."""
    known: Bool[Tensor, "asked"]
    """False where there was no such node or pair; what stands there is not asked."""


class EdgeQuestion(Question):
    """Is there an edge (1) or none (0) between the two?"""


class PropertyQuestion(Question):
    """A node's degree or clustering coefficient."""


class DistanceQuestion(Question):
    """Edges on the shortest path between the two: 1, 2, 3, and more or no path, as classes 0 to 3."""


class ClusterQuestion(Question):
    """How close a node is to the centre of each cluster."""


class SimilarityQuestion(Question):
    """Cosine similarity of the features of the two."""


QUESTIONS: dict[Task, type[Question]] = {
    "edge_mask": EdgeQuestion,
    "node_property": PropertyQuestion,
    "pairwise_distance": DistanceQuestion,
    "distance_cluster": ClusterQuestion,
    "pairwise_similarity": SimilarityQuestion,
}
