"""What encoders and views must know of a table: its columns, their types, statistics and vocabularies.

Fitted on training rows only, stored with the checkpoint as JSON, and printable, because a wrongly guessed type is the
commonest silent mistake with tables. A *column* is the file's; a *token* is the model's: a number, a category, or one
part of a date (`when.month`), so one date column gives several tokens.
"""

from __future__ import annotations

from typing import Literal

from manyviews.source import Spec
from manyviews_tabular.scaling import Scaling

ColumnType = Literal["numeric", "categorical", "boolean", "datetime"]
TargetKind = Literal["auto", "classification", "regression"]
DatePart = Literal["year", "month", "day", "weekday", "hour"]

MISSING, UNSEEN, RARE, FIRST_LEVEL = 0, 1, 2, 3
"""Codes of a category: no value; a value that no training row has; a level too rare for a code of its own; the first level."""


class NumericColumn(Spec):
    """A token that is a number."""

    name: str
    column: str
    """The file's column that it is read from; another than `name` for a part of a date."""
    part: DatePart | None = None
    scaling: Scaling
    bins: tuple[float, ...]
    """Inner edges of the quantile bins, in scaled units, ascending; bin i holds edges[i-1] <= x < edges[i]."""
    mean: float
    std: float
    minimum: float
    maximum: float
    missing: float
    """Share of the training rows without a value."""

    @property
    def usual(self) -> float | str:
        """A value as a user would send it."""
        return self.mean if self.part is None else "2020-01-31"

    def describe(self) -> tuple[str, str]:
        """Its type and what the training rows hold, for a table to read."""
        kind = "numeric" if self.part is None else f"datetime ({self.part})"
        return kind, f"{self.minimum:g} to {self.maximum:g}, mean {self.mean:g}"


class CategoricalColumn(Spec):
    """A token that is one of several levels. Code `FIRST_LEVEL + i` is `levels[i]`."""

    name: str
    type: Literal["categorical", "boolean"] = "categorical"
    levels: tuple[str, ...]
    """The commonest first."""
    rare: tuple[str, ...] = ()
    """Levels that share the code RARE."""
    by_value: bool = False
    """True where all levels are numbers: 3, 3.0 and "3" are then one level."""
    missing: float

    @property
    def column(self) -> str:
        return self.name

    @property
    def usual(self) -> float | str | bool:
        """A value as a user would send it."""
        if not self.levels:
            return ""
        if self.type == "boolean" and self.levels[0] in ("true", "false"):
            return self.levels[0] == "true"
        return float(self.levels[0]) if self.by_value else self.levels[0]

    @property
    def size(self) -> int:
        """Number of codes."""
        return FIRST_LEVEL + len(self.levels)

    def describe(self) -> tuple[str, str]:
        """Its type and what the training rows hold, for a table to read."""
        shown = ", ".join(self.levels[:4]) + (", …" if len(self.levels) > 4 else "")
        rare = f" and {len(self.rare)} rare" if self.rare else ""
        return self.type, f"{len(self.levels)} levels{rare}: {shown}"


class TableSpec(Spec):
    """A table as its encoders see it: numeric tokens first, then categorical ones."""

    alike = ("tokens", "numeric", "categorical")

    rows: int
    """Training rows that it was fitted on."""
    numeric: tuple[NumericColumn, ...]
    categorical: tuple[CategoricalColumn, ...]
    dropped: dict[str, str] = {}  # noqa: RUF012 - pydantic copies defaults
    """Columns that are no tokens, each with the reason."""
    missing_markers: tuple[str, ...] = ()
    target: str | None = None
    """The label column: no token, kept so that new labelled data are known as such."""
    target_kind: TargetKind = "auto"

    @property
    def each(self) -> tuple[NumericColumn | CategoricalColumn, ...]:
        """The tokens' descriptions, in the order in which encoders see them."""
        return (*self.numeric, *self.categorical)

    @property
    def tokens(self) -> tuple[str, ...]:
        """Names of the tokens, in the order in which encoders see them."""
        return tuple(column.name for column in self.each)

    @property
    def columns(self) -> tuple[str, ...]:
        """The file's columns that the tokens are read from, each once."""
        return tuple(dict.fromkeys(column.column for column in self.each))

    def describe(self) -> str:
        """The schema as a readable table."""
        rows = [("token", "type", "missing", "training rows hold")]
        for column in self.each:
            kind, holds = column.describe()
            rows.append((column.name, kind, f"{column.missing:.1%}", holds))
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = ["  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows]
        lines += [f"dropped: {name} ({reason})" for name, reason in self.dropped.items()]
        return "\n".join([f"{len(self.tokens)} tokens, fitted on {self.rows:,} training rows", *lines])
