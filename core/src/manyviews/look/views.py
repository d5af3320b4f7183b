"""What the encoder will see: a few units of the training data, and their views beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Int

from manyviews.encoder import Encoder
from manyviews.engine.parts import build_encoder, build_renderer, build_source, build_terms
from manyviews.look.style import drawing, figure
from manyviews.recipe.model import Recipe
from manyviews.renderer import Renderer, Shown
from manyviews.shuffle import Permutation
from manyviews.source import Source
from manyviews.view import View

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = 0.28
"""Inches above a picture."""


@dataclass(frozen=True)
class Column:
    """The same units in one view."""

    title: str
    units: Sequence[Shown]


def views_figure(recipe: Recipe, *, samples: int = 4, seed: int | None = None, source: Source | None = None) -> Figure:
    """A row for each of some training units, a column for the data as they are and for each view, what is hidden marked.

    Args:
        recipe: A resolved recipe.
        samples: Rows: samples, or nodes of a single large one.
        seed: Of the choice and of the views; None: the recipe's.
        source: Data in memory, in place of what the recipe names.

    Raises:
        UserError: The domain has no renderer, or matplotlib is not installed.
    """
    source = source or build_source(recipe)
    renderer = build_renderer(recipe, source.spec)
    encoder = build_encoder(recipe, source.spec)
    seed = recipe.train.seed if seed is None else seed
    columns = make_columns(recipe, source, encoder, samples=samples, seed=seed)
    return draw_columns(renderer, columns)


def make_columns(recipe: Recipe, source: Source, encoder: Encoder, *, samples: int, seed: int) -> list[Column]:
    """The units, shown whole and in the views of each of the recipe's terms. The encoder is on the CPU."""
    index = draw_samples(source, samples, seed)
    batch = source.batch(index)
    layout = encoder.layout(batch)
    places = _places(recipe, layout.lengths.on_host(), samples, seed)
    data = View(batch, layout)
    columns = [Column("data", [Shown(data, *place) for place in places])]
    terms = build_terms(recipe, source.spec)
    for number, term in enumerate(terms):
        term.views.bind(encoder.layout)
        with torch.no_grad():
            views = term.views(batch, layout, torch.Generator().manual_seed(seed))
        for place, view in enumerate(views):
            of = f"term {number}, " if len(terms) > 1 else ""
            many = f"view {place + 1}" + ("" if view.role == "global" else f", {view.role}")
            columns.append(Column(of + many, [Shown(view, *place, data) for place in places]))
    return columns


def draw_samples(source: Source, samples: int, seed: int) -> Int[np.ndarray, "samples"]:
    """Training samples, in ascending order."""
    train = source.subset("train")
    return np.sort(train[Permutation(len(train), np.random.default_rng(seed))[np.arange(min(samples, len(train)))]])


def _places(recipe: Recipe, lengths: list[int], samples: int, seed: int) -> list[tuple[int, int | None]]:
    """(sample, token) of each row: whole samples, or tokens of the only one where these are what is compared."""
    if recipe.unit == "sample" or len(lengths) > 1:
        return [(sample, None) for sample in range(len(lengths))]
    drawn = np.random.default_rng(seed).permutation(lengths[0])[:samples]
    return [(0, int(token)) for token in np.sort(drawn)]


def draw_columns(renderer: Renderer, columns: Sequence[Column]) -> Figure:
    """All of them in one figure."""
    sizes = [[renderer.size_of(shown) for shown in column.units] for column in columns]
    widths = [max(width for width, _ in column) for column in sizes]
    height = max(height for column in sizes for _, height in column)
    rows = len(columns[0].units)
    with drawing():
        made = figure(sum(widths), rows * (height + 0.08) + TITLE)
        grid = made.subplots(rows, len(columns), squeeze=False, width_ratios=widths)
        for across, column in enumerate(columns):
            for down, shown in enumerate(column.units):
                draw_one(renderer, grid[down, across], shown)
                if not down:
                    grid[0, across].set_title(column.title, pad=3)
        made.subplots_adjust(0.01, 0.01, 0.99, 1 - TITLE / made.get_figheight(), 0.04, 0.04)
    return made


def draw_one(renderer: Renderer, axes: Axes, shown: Shown) -> None:
    """One picture, without ticks and frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)
    renderer.draw(axes, shown)
