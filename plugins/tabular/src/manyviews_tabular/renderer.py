"""Rows as people read them: a line for each column, its value in the file's own terms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import PositiveInt

from manyviews.look import style
from manyviews.renderer import Renderer, Shown
from manyviews_tabular.batch import TableBatch
from manyviews_tabular.scaling import Scaling
from manyviews_tabular.schema import FIRST_LEVEL, MISSING, RARE, CategoricalColumn, NumericColumn, TableSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from manyviews_tabular.source import TableSource

LINE = 0.14
"""Inches of a line."""
SIZE = 7
"""Of letters, in points."""
LONGEST = 18
"""Characters of a name or of a value."""


class RowRenderer(Renderer):
    """A row as a list of its cells. Hidden ones are covered, asked ones outlined, altered ones in colour.

    Args:
        most: Columns at most; further ones are counted.
    """

    legend = "Values in pink were altered."

    def __init__(self, spec: TableSpec, /, *, most: PositiveInt = 16) -> None:
        self.spec, self.most = spec, most
        self.lines = min(most, len(spec.tokens)) + (len(spec.tokens) > most)
        self.size = (2.2, self.lines * LINE)

    def draw(self, axes: Axes, shown: Shown) -> None:
        from manyviews.look.marks import mark_cells

        cells, before = _cells(self.spec, shown), _cells(self.spec, shown.original)
        count = min(self.most, len(cells))
        axes.set_xlim(0, 1)
        axes.set_ylim(self.lines, 0)
        for line, (name, cell) in enumerate(zip(self.spec.tokens[:count], cells, strict=False)):
            altered = cell != before[line]
            axes.text(0.01, line + 0.5, _short(name), va="center", color=style.FAINT, fontsize=SIZE)
            axes.text(
                0.98, line + 0.5, cell, va="center", ha="right", fontsize=SIZE, color=style.MARKED if altered else style.INK
            )
        if count < len(cells):
            axes.text(
                0.01, count + 0.5, f"and {len(cells) - count} more columns", va="center", color=style.FAINT, fontsize=SIZE
            )
        asked = [one[:count, None] for one in shown.asked]
        mark_cells(axes, shown.hidden[:count, None], asked, (0, 1, count, 0))

    def caption(self, source: TableSource, sample: int, token: int | None = None) -> str:
        return "" if token is None else f"column {self.spec.tokens[token]}"


def _cells(spec: TableSpec, shown: Shown) -> list[str]:
    """The row's values as text."""
    batch: TableBatch = shown.view.batch
    values, missing, codes = (part[shown.sample].tolist() for part in (batch.values, batch.missing, batch.codes))
    numbers = [_number(*each) for each in zip(spec.numeric, values, missing, strict=True)]
    return numbers + [_level(*each) for each in zip(spec.categorical, codes, strict=True)]


def _number(column: NumericColumn, value: float, missing: bool) -> str:
    if missing:
        return "missing"
    number = unscaled(column.scaling, value)
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"


def unscaled(scaling: Scaling, value: float) -> float:
    """The number that was scaled to `value`, as far as single precision tells; a value that the training rows had is exact."""
    if scaling.knots:
        near = int(np.abs(np.array(scaling.values) - value).argmin())
        same = abs(scaling.values[near] - value) < 1e-6
        return scaling.knots[near] if same else float(np.interp(value, scaling.values, scaling.knots))
    return value * scaling.scale + scaling.center


def _level(column: CategoricalColumn, code: int) -> str:
    if code >= FIRST_LEVEL:
        return _short(column.levels[code - FIRST_LEVEL])
    return {MISSING: "missing", RARE: "rare"}.get(code, "unknown")


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
