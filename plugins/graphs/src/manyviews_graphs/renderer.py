"""Graphs as people draw them: nodes where the whole graph has them, what a view left out as faint traces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import networkx as nx
import numpy as np
from jaxtyping import Bool, Float, Int
from pydantic import PositiveInt

from manyviews.look import style
from manyviews.renderer import Renderer, Shown
from manyviews_graphs.batch import GraphBatch
from manyviews_graphs.features import dense_rows
from manyviews_graphs.spec import GraphSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from manyviews_graphs.source import GraphSource

SLOW = 60
"""Nodes up to which Kamada and Kawai's drawing is made, which is the better one and takes the third power of them."""


@dataclass(frozen=True)
class Part:
    """Nodes of a batch, by their numbers there, and the edges between them, by their places among these."""

    nodes: Int[np.ndarray, "nodes"]
    edges: Int[np.ndarray, "edges two"]
    centre: int | None = None
    """The place of the node that it is about."""


class GraphRenderer(Renderer):
    """A graph, or a node with its surroundings. Colours tell node labels apart where features are such.

    Hidden nodes are orange, asked ones ringed; nodes whose features were altered are hollow, what a view took away is faint.

    Args:
        hops: How far the surroundings of a node reach.
        most: Nodes drawn at most, those nearest to the node or the first ones.
    """

    size = (2.0, 2.0)
    legend = "Hollow nodes have altered features; dots and dotted lines were taken away."

    def __init__(self, spec: GraphSpec, /, *, hops: PositiveInt = 2, most: PositiveInt = 40) -> None:
        self.spec, self.hops, self.most = spec, hops, most

    def draw(self, axes: Axes, shown: Shown) -> None:
        before = self._part(shown.original)
        where = _positions(before)
        now = _found(shown, before.nodes)
        there = now >= 0
        _draw_edges(axes, where, before.edges, style.FAINT, 0.35, ":")
        _draw_edges(axes, where, _edges_between(shown.view.batch, now), style.FAINT, 0.8, "-")
        hidden, asked = _of_view(shown)
        colours = np.array(self._colours(shown.original.view.batch, before.nodes), dtype=object)
        altered = there & _altered(shown, now, before.nodes)
        colours[there & hidden[now]] = style.HIDDEN
        ringed = there & asked[now]
        axes.scatter(where[~there, 0], where[~there, 1], s=3, color=style.FAINT, zorder=2)
        faces = np.where(altered[there], "none", colours[there])
        edges = np.where(ringed[there], style.ASKED, colours[there])
        axes.scatter(
            where[there, 0],
            where[there, 1],
            s=26,
            c=list(faces),
            edgecolors=list(edges),
            linewidths=1.0 + ringed[there],
            zorder=2,
        )
        if before.centre is not None:
            axes.scatter(
                where[[before.centre], 0],
                where[[before.centre], 1],
                s=80,
                facecolors="none",
                edgecolors=style.MARKED,
                linewidths=1.2,
                zorder=3,
            )
        axes.set_aspect("equal")
        axes.margins(0.12)

    def caption(self, source: GraphSource, sample: int, token: int | None = None) -> str:
        node = sample if source.samples == "neighbourhoods" else token
        if node is None:
            return f"graph {sample}"
        return f"node {node if source.ids is None else source.ids[node]}"

    def _part(self, shown: Shown) -> Part:
        batch: GraphBatch = shown.view.batch
        span = shown.tokens
        centre = span.start + shown.token if shown.token is not None else span.start if batch.seeded else None
        nodes = np.arange(span.start, min(span.stop, span.start + self.most)) if centre is None else self._near(batch, centre)
        place = None if centre is None else int(np.flatnonzero(nodes == centre)[0])
        return Part(nodes, _edges_between(batch, nodes), place)

    def _near(self, batch: GraphBatch, centre: int) -> Int[np.ndarray, "nodes"]:
        """The node and those around it, hop by hop until there are enough."""
        source, target = batch.edges.source.numpy(), batch.edges.target.numpy()
        found, last = [centre], np.array([centre])
        for _ in range(self.hops):
            around = np.concatenate([source[np.isin(target, last)], target[np.isin(source, last)]])
            last = np.setdiff1d(around, found)
            found += last.tolist()
        return np.array(found[: self.most])

    def _colours(self, batch: GraphBatch, nodes: Int[np.ndarray, "nodes"]) -> list[str]:
        import torch

        if self.spec.features != "one_hot":
            return [style.SHOWN] * len(nodes)
        labels = dense_rows(batch.x, torch.from_numpy(nodes))[:, : len(self.spec.labels)].argmax(1).tolist()
        kinds = [colour for colour in style.SERIES if colour not in (style.HIDDEN, style.ASKED, style.MARKED)]
        return [kinds[label % len(kinds)] for label in labels]


def _positions(part: Part) -> Float[np.ndarray, "nodes two"]:
    graph: Any = nx.Graph()
    graph.add_nodes_from(range(len(part.nodes)))
    graph.add_edges_from(part.edges.tolist())
    if len(part.nodes) <= SLOW and len(part.nodes) > 1 and nx.is_connected(graph):
        found = nx.kamada_kawai_layout(graph)
    else:
        found = nx.spring_layout(graph, seed=0)
    return np.array([found[node] for node in range(len(part.nodes))])


def _edges_between(batch: GraphBatch, nodes: Int[np.ndarray, "nodes"]) -> Int[np.ndarray, "edges two"]:
    """Edges of the batch between these of its nodes (-1: not there), by their places among them; loops are left out."""
    place = np.full(batch.edges.nodes + 1, -1)
    place[nodes] = np.arange(len(nodes))
    place[-1] = -1
    ends = np.stack([place[batch.edges.source.numpy()], place[batch.edges.target.numpy()]], axis=1)
    return np.unique(np.sort(ends[(ends >= 0).all(1) & (ends[:, 0] != ends[:, 1])], axis=1), axis=0)


def _found(shown: Shown, nodes: Int[np.ndarray, "nodes"]) -> Int[np.ndarray, "nodes"]:
    """Where these nodes of the data stand in the view; -1 where it took them away."""
    batch: GraphBatch = shown.view.batch
    if shown.data is None or batch.edges.nodes == shown.data.batch.edges.nodes or batch.numbers is None:
        return nodes
    data: GraphBatch = shown.data.batch
    called = nodes if data.numbers is None else data.numbers.numpy()[nodes]
    numbers = batch.numbers.numpy()
    order = np.argsort(numbers, kind="stable")
    at = np.minimum(np.searchsorted(numbers[order], called), max(len(numbers) - 1, 0))
    if not len(numbers):
        return np.full(len(nodes), -1)
    return np.where(numbers[order[at]] == called, order[at], -1)


def _of_view(shown: Shown) -> tuple[Bool[np.ndarray, "nodes"], Bool[np.ndarray, "nodes"]]:
    """Hidden and asked nodes of the whole view, with a last one that is neither (for those not there)."""
    total, span = shown.view.layout.lengths.total, shown.tokens
    hidden, asked = np.zeros(total + 1, dtype=bool), np.zeros(total + 1, dtype=bool)
    hidden[span] = shown.hidden
    if len(shown.asked):
        asked[span] = shown.asked.any(0)
    return hidden, asked


def _altered(shown: Shown, now: Int[np.ndarray, "nodes"], nodes: Int[np.ndarray, "nodes"]) -> Bool[np.ndarray, "nodes"]:
    """Nodes whose features are not those of the data."""
    import torch

    if shown.data is None:
        return np.zeros(len(nodes), dtype=bool)
    there = torch.from_numpy(np.maximum(now, 0))
    one, two = dense_rows(shown.view.batch.x, there), dense_rows(shown.data.batch.x, torch.from_numpy(nodes))
    return (one != two).any(1).numpy()


def _draw_edges(
    axes: Axes, where: Float[np.ndarray, "nodes two"], edges: Int[np.ndarray, "edges two"], colour: str, width: float, line: str
) -> None:
    from matplotlib.collections import LineCollection

    if len(edges):
        axes.add_collection(LineCollection(list(where[edges]), colors=colour, linewidths=width, linestyles=line, zorder=1))
