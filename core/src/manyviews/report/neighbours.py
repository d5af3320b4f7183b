"""Nearest neighbours by cosine: what the encoder holds for alike, as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import cast

import numpy as np
from jaxtyping import Float, Int

from manyviews.encoder import Encoder
from manyviews.look.style import drawing, figure
from manyviews.look.views import draw_one
from manyviews.renderer import Renderer, Shown
from manyviews.report.embedded import Embeddings
from manyviews.report.page import paragraph
from manyviews.report.svg import inline
from manyviews.source import Source
from manyviews.view import View

QUERIES, NEIGHBOURS = 5, 5


@dataclass(frozen=True)
class Drawer:
    """Draws single units of a source."""

    renderer: Renderer
    source: Source
    encoder: Encoder
    """On the CPU; asked for layouts alone."""

    def thumbnail(self, sample: int, token: int | None, name: str) -> str:
        """A unit as it is in the data."""
        batch = self.source.batch(np.array([sample]))
        shown = Shown(View(batch, self.encoder.layout(batch)), 0, token)
        width, height = self.renderer.size_of(shown)
        with drawing():
            axes = figure(width, height).add_axes((0.0, 0.0, 1.0, 1.0))
            draw_one(self.renderer, axes, shown)
            return inline(axes.figure, name)  # type: ignore[arg-type]


def captions(found: Embeddings, drawer: Drawer | None, source: Source) -> list[str]:
    """Number, label and what the renderer knows of each unit."""
    texts = []
    for place, (unit, sample, token) in enumerate(zip(found.units.tolist(), found.samples.tolist(), found.tokens, strict=True)):
        own = drawer.renderer.caption(source, sample, token) if drawer is not None else ""
        label = "" if found.known is None else found.known.text(place)
        texts.append(" · ".join(filter(None, (own or f"#{unit}", label))))
    return texts


def nearest(
    x: Float[np.ndarray, "units width"], queries: Int[np.ndarray, "queries"], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The units nearest to each query, itself apart, (queries, count), and their cosines."""
    unit = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    cosines = unit[queries] @ unit.T
    cosines[np.arange(len(queries)), queries] = -np.inf
    order = np.argsort(-cosines, axis=1, kind="stable")[:, : min(count, len(x) - 1)]
    return order, np.take_along_axis(cosines, order, axis=1)


def draw_neighbours(found: Embeddings, texts: Sequence[str], drawer: Drawer, seed: int) -> str:
    """A row for each query: it, and its neighbours with their cosine; one of another label is set apart."""
    if len(found.units) < 2:
        return ""
    queries = np.sort(np.random.default_rng(seed).permutation(len(found.units))[:QUERIES])
    order, cosines = nearest(found.x, queries, NEIGHBOURS)
    known = found.known
    about = "" if known is None or not known.classes else f"Framed in pink: {known.name} is not the query's."

    def cell(place: int, about: str, kind: str, name: str) -> str:
        picture = drawer.thumbnail(int(found.samples[place]), found.tokens[place], name)
        return f'<figure class="{kind}">{picture}<figcaption>{escape(texts[place])}<br>{about}</figcaption></figure>'

    rows = []
    for row, query in enumerate(queries.tolist()):
        cells = [cell(query, "<b>query</b>", "query", f"query{row}")]
        for rank, place in enumerate(cast(list[int], order[row].tolist())):
            kind = "other" if _differ(found, query, place) else "same"
            cells.append(cell(place, f"cosine {near(float(cosines[row, rank]))}", kind, f"near{row}-{rank}"))
        rows.append(f'<div class="row">{"".join(cells)}</div>')
    return "".join(rows) + paragraph(about, "note")


def near(cosine: float) -> str:
    """Three figures, of the cosine or of what it lacks to one: in a collapsed embedding all are 1.000."""
    return f"{cosine:.3f}" if cosine < 0.9995 else f"1 - {max(1 - cosine, 0.0):.0e}"


def _differ(found: Embeddings, one: int, two: int) -> bool:
    if found.known is None or not found.known.classes:
        return False
    return bool(found.known.values[one] != found.known.values[two])
