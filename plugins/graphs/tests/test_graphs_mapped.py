"""Edges that are put in order in files: the same as in memory, whatever is read together, and little memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from manyviews_graphs import mapped, validate
from manyviews_graphs.arrange import arrange
from manyviews_graphs.mapped import arrange_mapped
from manyviews_graphs.reading.raw import RawGraphs
from manyviews_graphs.source import GraphSource
from manyviews_graphs.validate import problems


def raw(source: np.ndarray, target: np.ndarray, nodes: int) -> RawGraphs:
    return RawGraphs("here", False, np.array([nodes]), np.array([len(source)]), source, target)


@pytest.mark.parametrize("together", [1, 7, 1 << 18])
@pytest.mark.parametrize("undirected", [False, True])
@pytest.mark.parametrize("self_loops", [False, True])
@pytest.mark.parametrize(("nodes", "edges"), [(1, 0), (1, 3), (5, 60), (40, 200), (300, 100)])
def test_files_hold_what_memory_would(
    monkeypatch: pytest.MonkeyPatch, together: int, undirected: bool, self_loops: bool, nodes: int, edges: int
) -> None:
    monkeypatch.setattr(mapped, "TOGETHER", together)
    rng = np.random.default_rng([nodes, edges])
    ends = rng.integers(0, nodes, (2, edges))
    ends[1, : edges // 4] = nodes - 1  # a hub, whose edges are more than are sorted together
    given = raw(*ends, nodes)
    wanted = arrange(given, undirected=undirected, self_loops=self_loops, with_rows=False)
    found = arrange_mapped(given, undirected=undirected, self_loops=self_loops)
    assert np.array_equal(found.csr.pointer, wanted.csr.pointer)
    assert np.array_equal(found.csr.source, wanted.csr.source)
    assert found.csr.source.dtype == wanted.csr.source.dtype
    assert (found.loops, found.repeated, found.added) == (wanted.loops, wanted.repeated, wanted.added)


def test_memory_does_not_grow_with_the_edges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "TOGETHER", 1 << 12)
    peaks = []
    for edges in (1 << 14, 1 << 18):
        ends = np.random.default_rng(0).integers(0, 500, (2, edges))
        np.save(tmp_path / "ends.npy", ends)
        given = raw(*np.load(tmp_path / "ends.npy", mmap_mode="r"), 500)
        tracemalloc.start()
        arrange_mapped(given, undirected=True, self_loops=False)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] < 3e6  # the 4 MB of edges were read, sorted and written in between


@pytest.mark.parametrize("sampled", [False, True])
def test_neighbourhoods_read_mapped_edges(tmp_path: Path, sampled: bool) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "graph.npz", x=rng.normal(size=(50, 4)).astype(np.float32), edge_index=rng.integers(0, 50, (2, 300)))
    source = GraphSource(path=str(tmp_path / "graph.npz"), neighbours=[3, 3] if sampled else None)
    assert isinstance(source._store.csr.source, np.memmap) == sampled
    batch = source.batch(np.array([4, 9] if sampled else [0]))
    assert len(batch.edges) > 0


def test_bad_ends_are_found_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validate, "TOGETHER", 4)
    ends = np.zeros((2, 11), np.int64)
    ends[0, 9] = 7
    (found,) = problems(raw(*ends, 3))
    assert "edge 9, 7 -> 0, has an end that is beyond its 3 nodes" in found.text
