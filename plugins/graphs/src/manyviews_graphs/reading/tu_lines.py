"""TU data sets as one text file (Xu et al. 2019, Zhang et al. 2018): the number of graphs, then each graph in lines.

A graph is a line `nodes label`, then a line `tag degree neighbours…` for each node, and after the neighbours its
attributes where it has any. Nodes are numbered in their graph from 0; a tag is the node's label, an input.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from manyviews.errors import DataError
from manyviews_graphs.reading.files import not_empty, stat_of
from manyviews_graphs.reading.raw import Options, RawGraphs
from manyviews_graphs.reading.targets import labels_of

USES: frozenset[str] = frozenset()


def find(path: Path) -> Path | None:
    """`NAME/NAME.txt` of a folder, or a `.txt` file that begins as one of these does; None for anything else."""
    file = path / f"{path.name}.txt" if path.is_dir() else path
    if file.suffix.lower() != ".txt" or not file.is_file():
        return None
    with file.open(encoding="utf-8", errors="replace") as lines:
        first, second = lines.readline().split(), lines.readline().split()
    return file if len(first) == 1 and first[0].isdigit() and len(second) in (0, 2) else None


@dataclass
class _Read:
    """What the lines held, in their order."""

    nodes: list[int] = field(default_factory=list)
    edges: list[int] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    degrees: list[int] = field(default_factory=list)
    neighbours: list[str] = field(default_factory=list)
    attributes: list[list[str]] = field(default_factory=list)


def read(path: Path, options: Options) -> RawGraphs:
    """Every graph of the file.

    Raises:
        DataError: A line does not say what it should; names it.
    """
    file = find(path)
    assert file is not None, "chosen because it is there"
    lines = not_empty(file).read_text(encoding="utf-8").splitlines()
    found = _read(lines, file)
    try:
        target = np.array(found.neighbours, dtype=np.int64)
        x = np.array(found.attributes, dtype=np.float32) if found.attributes and found.attributes[0] else None
    except ValueError as error:
        raise DataError(f"{file}: neighbours and attributes should be numbers ({error})") from error
    nodes = np.array(found.nodes, dtype=np.int64)
    starts = np.repeat(nodes.cumsum() - nodes, nodes)
    return RawGraphs(
        where=str(file),
        many=True,
        nodes=nodes,
        edges=np.array(found.edges, dtype=np.int64),
        source=np.repeat(np.arange(len(starts)) - starts, np.array(found.degrees, dtype=np.int64)),
        target=target,
        x=x,
        node_labels=_numbers(found.tags),
        labels=labels_of("class", _numbers(found.labels), str(file), "classification", unlabelled=None),
        directed=False,
        fingerprint={file.name: stat_of(file)},
    )


def _read(lines: list[str], file: Path) -> _Read:
    if not lines[0].strip().isdigit():
        raise DataError(f"{file}: line 1 is {lines[0]!r}; expected the number of graphs")
    found, at = _Read(), 1
    for graph in range(int(lines[0])):
        head = lines[at].split() if at < len(lines) else []
        if len(head) != 2 or not head[0].isdigit():
            said = repr(lines[at]) if at < len(lines) else "not there"
            raise DataError(f"{file}: line {at + 1} is {said}; expected the nodes and the label of graph {graph}")
        nodes = int(head[0])
        if at + nodes >= len(lines):
            raise DataError(f"{file}: ends in the middle of graph {graph}, which should have {nodes} nodes; fetch it again")
        before = len(found.neighbours)
        for number in range(at + 1, at + 1 + nodes):
            _node(lines[number].split(), found, number + 1, file)
        found.nodes.append(nodes)
        found.edges.append(len(found.neighbours) - before)
        found.labels.append(head[1])
        at += 1 + nodes
    if any(line.strip() for line in lines[at:]):
        raise DataError(f"{file}: line {at + 1} comes after the {lines[0].strip()} graphs that line 1 tells of")
    return found


def _node(words: list[str], found: _Read, line: int, file: Path) -> None:
    """One line: `tag degree neighbours… attributes…`."""
    if len(words) < 2 or not words[1].isdigit() or len(words) < 2 + int(words[1]):
        raise DataError(f"{file}: line {line} is {' '.join(words)!r:.80}; expected a tag, a degree and that many neighbours")
    stop = 2 + int(words[1])
    if found.attributes and len(words) - stop != len(found.attributes[0]):
        raise DataError(
            f"{file}: line {line} has {len(words) - stop} numbers behind its {words[1]} neighbours, "
            f"other nodes have {len(found.attributes[0])} attributes"
        )
    found.tags.append(words[0])
    found.degrees.append(stop - 2)
    found.neighbours.extend(words[2:stop])
    found.attributes.append(words[stop:])


def _numbers(words: list[str]) -> np.ndarray:
    """As whole numbers where all are, so that 10 comes after 9."""
    try:
        return np.array(words, dtype=np.int64)
    except ValueError:
        return np.array(words, dtype=str)
