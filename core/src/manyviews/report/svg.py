"""Pictures as a part of a page: inline SVG whose ink is the page's own, so that it reads in light and in dark."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from manyviews.look.style import FAINT, INK, drawing, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NOT_REFERRED_TO = re.compile(r' id="[A-Za-z0-9.-]+_\d+"')
_STYLE = re.compile(r"<style.*?</style>", re.DOTALL)
DPI = 110
"""Of images within a picture."""


def inline(made: Figure, name: str) -> str:
    """An `<svg>` element. `name` is unique on the page: what the picture refers to within itself is called after it."""
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        made.savefig(text, format="svg", dpi=DPI, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = text.getvalue()
    svg = _NOT_REFERRED_TO.sub("", _STYLE.sub("", svg[svg.index("<svg") :]))
    return svg.replace(INK, "var(--ink)").replace(FAINT, "var(--faint)")


@contextmanager
def axes_of(width: float, height: float) -> Iterator[Axes]:
    """The only axes of a small chart; its figure is `axes.figure`."""
    with drawing():
        axes = figure(width, height).subplots()
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        axes.tick_params(length=2, width=0.5)
        yield axes
