"""What this package brings, as text: imported by the registry at every start, so nothing heavy is imported here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from manyviews.domain import Domain
from manyviews.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@hookimpl
def manyviews_domain() -> Domain:
    """The domain `graphs`."""
    return Domain(
        name="graphs",
        summary="Graphs: one large one, many small ones, sampled neighbourhoods; nodes as tokens",
        core="~=0.1.0",
        components={
            "source": {"graph": "manyviews_graphs.source:GraphSource"},
            "encoder": {
                "gat": "manyviews_graphs.gat:GAT",
                "gcn": "manyviews_graphs.gcn:GCN",
                "gin": "manyviews_graphs.gin:GIN",
                "graphgpt": "manyviews_graphs.graphgpt.encoder:GraphGPT",
                "transformer": "manyviews_graphs.transformer:GraphTransformer",
            },
            "views": {
                "augment": "manyviews_graphs.views.augment:Augment",
                "diffusion": "manyviews_graphs.views.diffusion:Diffusion",
                "node_mask": "manyviews_graphs.views.node_mask:NodeMask",
                "pretext": "manyviews_graphs.pretexts.views:Pretext",
                "shuffle": "manyviews_graphs.views.shuffle:Shuffle",
            },
            "objective": {
                "dgi": "manyviews_graphs.dgi:DGI",
                "pretext": "manyviews_graphs.pretexts.objective:PretextAnswer",
            },
            "task": {
                "graph_classification": "manyviews_graphs.tasks.graph_classification:GraphClassification",
                "link_prediction": "manyviews_graphs.tasks.link_prediction:LinkPrediction",
                "node_classification": "manyviews_graphs.tasks.node_classification:NodeClassification",
            },
            "renderer": {"drawing": "manyviews_graphs.renderer:GraphRenderer"},
        },
        recipes="manyviews_graphs:recipes",
        demo="manyviews_graphs.demo:prepare",
        trial="manyviews_graphs.testing:TRIAL",
    )


@hookimpl
def manyviews_doctor(path: Path) -> Sequence[str] | None:
    """What is wrong with the graphs at `path`; None where there are none."""
    from manyviews_graphs.doctor import examine

    return examine(path)
