"""What is wrong with graphs, said before anything is trained on them: every problem of every graph, not the first alone."""

from __future__ import annotations

from pathlib import Path

from manyviews.errors import DataError
from manyviews_graphs.fit import choose
from manyviews_graphs.reading import arrays, frames, tables
from manyviews_graphs.reading.find import Reader, of_path
from manyviews_graphs.reading.npy import Archive
from manyviews_graphs.reading.raw import Options
from manyviews_graphs.validate import problems

MOST = 100
"""Problems of a data set that are listed."""


def examine(path: Path) -> list[str] | None:
    """One line for each finding; an empty list where all is well; None where `path` holds no graph.

    A folder that is no graph itself is looked through for folders and files that are.
    """
    places = [path] if not path.is_dir() or of_path(path) else sorted(path.iterdir())
    readers = [(place, reader) for place in places if (reader := _claimed(place)) is not None]
    if not readers:
        return None
    return [" ".join(line.splitlines()) for place, reader in readers for line in _findings(place, reader)]


def _claimed(path: Path) -> Reader | None:
    """Its reader, if it is a graph for certain: a table is one where its columns are named as the ends of edges."""
    reader = of_path(path)
    if reader is None or path.is_dir():
        return reader
    try:
        if path.suffix.lower() in frames.SUFFIXES and tables.find(path) and reader.name == tables.NAME:
            return reader if tables.names_ends(frames.column_names(path)) else None
        if path.suffix == ".npz":
            return reader if arrays.holds_graph(Archive(path).names) else None
    except DataError:
        return None
    return reader


def _findings(path: Path, reader: Reader) -> list[str]:
    try:
        raw = reader.read(Options())
    except DataError as error:
        return [str(error)]
    found = [problem.text for problem in problems(raw)]
    if len(found) > MOST:
        found = [*found[:MOST], f"{path}: and {len(found) - MOST:,} more such problems"]
    if reader.name != tables.NAME and not found:
        found += [f"{raw.where}: {note}" for note in choose(raw, "auto")[1] if raw.x is None]
    return found
