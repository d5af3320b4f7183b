"""The view generator `graphs/pretext`: a graph, a question about it, and the answer, found without labels."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field, PositiveInt

from manyviews.errors import UserError
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator
from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.pretexts.distances import ask_closeness, ask_distances
from manyviews_graphs.pretexts.edges import mask_edges
from manyviews_graphs.pretexts.pairs import draw_anchors
from manyviews_graphs.pretexts.properties import Property, ask_property
from manyviews_graphs.pretexts.question import QUESTIONS, Question, Task
from manyviews_graphs.pretexts.similarity import ask_similarities

OF_WHOLE_GRAPHS: tuple[Task, ...] = ("node_property", "pairwise_distance", "distance_cluster")
"""What a sampled neighbourhood cannot tell: its nodes have lost edges."""


class Pretext(ViewGenerator):
    """A question about nodes or pairs of nodes whose answer the graph itself gives (SelfTask, Jin et al. 2020).

    The paper's AttributeMask is the core's `masked_reconstruction` with views that mask nodes.

    Args:
        task: `edge_mask`: is there an edge (taken away from the view)? `node_property`: degree or clustering coefficient.
            `pairwise_distance`: 1, 2, 3 or more edges apart? `distance_cluster`: how close to the centres of clusters?
            `pairwise_similarity`: cosine similarity of features, of most and least similar nodes.
        share: Of the edges that `edge_mask` takes away.
        property: What `node_property` asks for; `log_degree` is log(1 + degree).
        anchors: Nodes drawn at each step for questions about pairs.
        partners: Nodes drawn for each anchor, at each distance or of either similarity.
        clusters: Of `distance_cluster`.
    """

    gives = frozenset({Trait.PRETEXT_TARGET})
    needs = frozenset({Trait.OWN_TOKENS})
    target = Question

    def __init__(
        self,
        *,
        task: Task = "edge_mask",
        share: Annotated[float, Field(gt=0, lt=1)] = 0.1,
        property: Property = "degree",  # noqa: A002 - the paper's word
        anchors: PositiveInt = 256,
        partners: PositiveInt = 4,
        clusters: PositiveInt = 10,
    ) -> None:
        super().__init__()
        self.task, self.share, self.property = task, share, property
        self.anchors, self.partners, self.clusters = anchors, partners, clusters
        self.target = QUESTIONS[task]
        self._same = Same()

    def forward(self, batch: GraphBatch, layout: Layout, generator: torch.Generator) -> tuple[View, ...]:
        self._refuse(batch)
        nodes = batch.lengths
        scope = Lengths.equal(1, nodes.total, nodes.tensor.device) if batch.seeded else nodes
        if self.task == "edge_mask":
            batch, question = mask_edges(batch, scope, self.share, generator)
            return (View(batch, layout, target=question),)
        return (View(batch, layout, target=self._question(batch, scope, generator)),)

    def _question(self, batch: GraphBatch, scope: Lengths, generator: torch.Generator) -> Question:
        match self.task:
            case "node_property":
                return self._same(batch, lambda: ask_property(batch.edges, self.property))
            case "distance_cluster":
                return self._same(batch, lambda: ask_closeness(batch.edges, self.clusters))
        anchors = draw_anchors(scope, self.anchors, generator)
        if self.task == "pairwise_distance":
            return ask_distances(batch.edges, scope, anchors, self.partners, generator)
        return ask_similarities(batch.x, scope, anchors, self.partners, generator)

    def _refuse(self, batch: GraphBatch) -> None:
        if batch.seeded and self.task in OF_WHOLE_GRAPHS:
            raise UserError(
                f"pretext: `task: {self.task}` asks about whole graphs, and sampled neighbourhoods have lost edges\n"
                "choose edge_mask or pairwise_similarity, or read the graph as a whole"
            )
        if self.task == "distance_cluster" and len(batch) > 1:
            raise UserError(
                f"pretext: `task: distance_cluster` asks for the clusters of one graph, and this batch has {len(batch)}\n"
                "choose pairwise_distance"
            )


class Same:
    """Keeps what was found out about a batch for as long as the same batch comes: a graph that is the only sample."""

    def __init__(self) -> None:
        self._batch: weakref.ref[GraphBatch] | None = None
        self._found: Question | None = None

    def __call__(self, batch: GraphBatch, ask: Callable[[], Question]) -> Question:
        """`ask()`, once for each batch."""
        if self._found is None or self._batch is None or self._batch() is not batch:
            self._batch, self._found = weakref.ref(batch), ask()
        return self._found
