"""Colours that can be read on a light page and on a dark one, and matplotlib as pictures here need it.

Pictures have no background of their own. Ink is a middle grey (4.5:1 on white, 4.2:1 on near black); where a picture
is a part of a page, its ink is the page's own.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from manyviews.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#767677"
"""Text and lines. A page replaces it by its own, so nothing else has just this colour."""
FAINT = "#9a9a9b"
"""What stands behind: edges of a graph, the rules of a table. Replaced as well."""
SHOWN = "#3b82c4"
HIDDEN = "#e07b39"
"""Marks what is withheld."""
ASKED = "#2f9e6e"
"""Marks what is to be predicted."""
MARKED = "#d6336c"
"""Marks the one token that a picture is about."""
SERIES = ("#3b82c4", "#e07b39", "#2f9e6e", "#a35cc0", "#c9a227", "#d6336c", "#4bb3c9", "#8a6d5a", "#7a86d8", "#8fae3c")
"""Classes, curves: in this order, then from the first again."""


def require_matplotlib() -> None:
    """Raises UserError where matplotlib is not installed. Imports nothing."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError(
            'Pictures are drawn with matplotlib, which is not installed.\nInstall it: `pip install "manyviews[report]"`.'
        )


@contextmanager
def drawing() -> Iterator[None]:
    """Matplotlib's settings for our pictures; the user's are put back afterwards."""
    import matplotlib

    inked = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    settings: dict[Any, Any] = {
        **dict.fromkeys(inked, INK),
        "font.size": 7.0,
        "axes.titlesize": 7.0,
        "axes.linewidth": 0.5,
        "grid.color": FAINT,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "svg.fonttype": "none",
        "image.interpolation": "nearest",
    }
    with matplotlib.rc_context(settings):
        yield


def figure(width: float | int, height: float | int) -> Figure:
    """A figure in inches that belongs to nobody: no window, no entry in pyplot's list."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height))
