"""What is wrong with tables, said before anything is trained on them: every file and every column, not the first alone."""

from __future__ import annotations

from pathlib import Path

from manyviews.errors import DataError
from manyviews.subset import Subset
from manyviews_tabular import cells
from manyviews_tabular.infer import Options, column_tokens
from manyviews_tabular.reading import SUFFIXES, Rows, open_rows
from manyviews_tabular.sample import draw_sample

ROWS = 500_000
"""Rows of a file that are looked at: a random sample beyond."""
MISSING_SHARE = 0.5
"""A column with more missing cells than this is worth a line."""


def examine(path: Path) -> list[str] | None:
    """One line for each finding; an empty list where all is well; None where `path` holds no table."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    tables = [file for file in files if file.suffix.lower() in SUFFIXES and file.is_file()]
    if not tables:
        return None
    return [line for table in tables for line in _file(table)]


def _file(path: Path) -> list[str]:
    try:
        rows = open_rows(str(path))
    except DataError as error:
        return [_line(str(error))]
    if sum(rows.groups) == 0:
        return [f"{path}: the table has no rows"]
    return [line for name in rows.names for line in _column(rows, name)]


def _column(rows: Rows, name: str) -> list[str]:
    options = Options({}, "quantile", cells.MARKERS, 1000, 1)
    sample = draw_sample(rows, [name], Subset(sum(rows.groups)), ROWS)
    try:
        found = column_tokens(name, sample, options)
    except DataError as error:
        return [_line(str(error))]
    if isinstance(found, str):
        return [f"{rows.where}: column {name!r} is left out: {found}"]
    missing = max(token.missing for token in (found if isinstance(found, list) else [found]))
    return [f"{rows.where}: column {name!r} is missing in {missing:.0%} of the rows"] if missing > MISSING_SHARE else []


def _line(message: str) -> str:
    return " ".join(message.splitlines())
