"""How pictures mark what is withheld, what is asked for, and the one token that they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float, Shaped

from manyviews.look.style import ASKED, HIDDEN, MARKED
from manyviews.renderer import Shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Side = float | int
Extent = tuple[Side, Side, Side, Side]
"""Left, right, bottom, top, as `imshow` has it."""


def to_grid(
    values: Shaped[np.ndarray, "tokens"], places: Float[np.ndarray, "tokens axes"], fill: float | bool = False
) -> Shaped[np.ndarray, "*grid"]:
    """Tokens on the grid that their places span, an axis of the array for each of theirs; `fill` where no token lies."""
    ranks = [np.unique(axis, return_inverse=True) for axis in places.T]
    grid = np.full([len(distinct) for distinct, _ in ranks], fill, dtype=values.dtype)
    grid[tuple(rank for _, rank in ranks)] = values
    return grid


def mark_grid(axes: Axes, shown: Shown, extent: Extent, *, transposed: bool = False) -> None:
    """Mark tokens that lie on a grid of one or two axes upon a picture of that extent, of which each has an equal share.

    Rows run from the top of the extent to its bottom. One axis runs from left to right; so does the first of two where
    `transposed` (time in a spectrogram).
    """
    if shown.places is None:
        return

    def flat(values: Bool[np.ndarray, "tokens"]) -> Bool[np.ndarray, "rows columns"]:
        assert shown.places is not None
        grid = to_grid(values, shown.places)
        grid = grid[None] if grid.ndim == 1 else grid
        return grid.T if transposed and len(grid) > 1 else grid

    mark_cells(axes, flat(shown.hidden), [flat(one) for one in shown.asked], extent)
    if shown.token is not None and shown.token < len(shown.hidden):
        outline(axes, flat(np.arange(len(shown.hidden)) == shown.token), extent, MARKED)


def mark_cells(
    axes: Axes,
    hidden: Bool[np.ndarray, "rows columns"],
    asked: list[Bool[np.ndarray, "rows columns"]],
    extent: Extent,
) -> None:
    """Cover the hidden cells of a grid; outline what is asked for, a set a colour's shade. The axes' limits stay."""
    from matplotlib.colors import to_rgba

    if hidden.any():
        cover = np.zeros((*hidden.shape, 4))
        cover[hidden] = to_rgba(HIDDEN, 0.75)
        limits = (axes.get_xlim(), axes.get_ylim()) if axes.has_data() else None
        axes.imshow(cover, extent=extent, aspect=axes.get_aspect(), zorder=3, interpolation="nearest")
        if limits is not None:  # an image makes the axes its own, though it may cover one picture of several
            axes.set(xlim=limits[0], ylim=limits[1])
    for one in asked:
        outline(axes, one, extent, ASKED)


def outline(axes: Axes, where: Bool[np.ndarray, "rows columns"], extent: Extent, colour: str) -> None:
    """The borders between chosen and other cells."""
    from matplotlib.collections import LineCollection

    left, right, bottom, top = extent
    rows, columns = where.shape
    x, y = np.linspace(left, right, columns + 1), np.linspace(top, bottom, rows + 1)
    edged = np.pad(where, 1)
    down = np.argwhere(edged[1:-1, 1:] != edged[1:-1, :-1])  # a border left of cell (row, column)
    across = np.argwhere(edged[1:, 1:-1] != edged[:-1, 1:-1])  # above it
    lines = [[(x[column], y[row]), (x[column], y[row + 1])] for row, column in down]
    lines += [[(x[column], y[row]), (x[column + 1], y[row])] for row, column in across]
    axes.add_collection(LineCollection(lines, colors=colour, linewidths=1.0, zorder=4))
