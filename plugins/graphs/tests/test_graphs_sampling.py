"""Neighbour sampling: what it promises, its distribution, and the same in loops and sets."""

from __future__ import annotations

import pickle
import threading
from itertools import combinations
from math import comb
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from manyviews_graphs.csr import CSR
from manyviews_graphs.sampling import ALL, Neighbourhood, sample, subsets

NODES = 60


@pytest.fixture
def csr() -> CSR:
    """A directed graph with hubs, isolated nodes (the last ten), self-loops and an edge that is there twice."""
    rng = np.random.default_rng(0)
    source, target = rng.integers(50, size=300), (50 * rng.random(300) ** 2).astype(np.int64)
    return CSR.of(np.append(source, [3, 3]), np.append(target, [7, 7]), NODES)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def rows(csr: CSR) -> list[list[int]]:
    return [csr.source[csr.pointer[i] : csr.pointer[i + 1]].tolist() for i in range(csr.nodes)]


def test_a_csr_holds_the_edges_by_target() -> None:
    csr = CSR.of(np.array([4, 0, 2, 2]), np.array([1, 3, 1, 3]), 5)
    assert rows(csr) == [[], [4, 2], [], [0, 2], []]
    assert csr.source.dtype == np.int32
    assert (csr.nodes, csr.edges) == (5, 4)


@pytest.mark.parametrize("neighbours", [[3], [2, 3], [5, 1, 4], [ALL, 2], [2, ALL]])
@pytest.mark.parametrize("seed", range(3))
def test_what_every_neighbourhood_promises(csr: CSR, neighbours: list[int], seed: int) -> None:
    seeds = rng(seed).permutation(NODES)[:12]
    part = sample(csr, seeds, neighbours, rng(seed))
    starts = part.lengths.cumsum() - part.lengths
    assert (part.nodes[starts] == seeds).all()
    assert part.lengths.sum() == len(part.nodes) == len(set(part.nodes.tolist()))
    assert len(set(part.edges.tolist())) == len(part.edges)
    assert (csr.source[part.edges] == part.nodes[part.source]).all()
    assert (np.searchsorted(csr.pointer, part.edges, side="right") - 1 == part.nodes[part.target]).all()
    keys = part.target * len(part.nodes) + part.source
    assert (np.diff(keys) >= 0).all()
    assert_reached(csr, part, seeds, neighbours)
    with csr.scratch() as place:
        assert (place == -1).all()


def assert_reached(csr: CSR, part: Neighbourhood, seeds: np.ndarray, neighbours: list[int]) -> None:
    """Hop by hop, in sets: each node's sample has the right size, and each node stands with the first that reached it."""
    drawn: dict[int, list[int]] = {int(node): [] for node in part.nodes}
    for source, target in zip(part.nodes[part.source], part.nodes[part.target], strict=True):
        drawn[int(target)].append(int(source))
    owner = {int(node): place for place, node in enumerate(seeds)}
    frontier, degrees = list(owner), np.diff(csr.pointer)
    for fan_out in neighbours:
        found: dict[int, int] = {}
        for node in frontier:
            wanted = degrees[node] if fan_out == ALL else min(degrees[node], fan_out)
            assert len(drawn[node]) == wanted
            for source in drawn[node]:
                if source not in owner:
                    found[source] = min(found.get(source, owner[node]), owner[node])
        owner |= found
        frontier = list(found)
    assert all(not drawn[node] for node in frontier)
    assert owner == dict(zip(part.nodes.tolist(), np.repeat(np.arange(len(seeds)), part.lengths).tolist(), strict=True))


def test_every_neighbour_of_every_hop_where_all_are_asked_for(csr: CSR) -> None:
    part = sample(csr, np.array([7, 30]), [ALL, ALL], rng())
    reached = {7, 30}
    edges = []
    for _ in range(2):
        edges = [(s, t) for t in sorted(reached) for s in rows(csr)[t]]
        reached |= {s for s, _ in edges}
    assert set(part.nodes.tolist()) == reached
    got = sorted(zip(part.nodes[part.source].tolist(), part.nodes[part.target].tolist(), strict=True))
    assert got == sorted(edges)
    assert (3, 7) in got  # the edge that is there twice
    assert got.count((3, 7)) == rows(csr)[7].count(3) >= 2


def test_a_node_s_neighbours_are_a_uniformly_random_set() -> None:
    """Of 20,000 stars each of the C(6, 3) subsets of leaves equally often, by a chi-squared test."""
    stars = np.arange(20_000) * 7
    leaves = stars[:, None] + np.arange(1, 7)
    csr = CSR.of(leaves.flatten(), np.repeat(stars, 6), 7 * len(stars))
    part = sample(csr, stars, [3], rng(1))
    drawn = np.sort(part.nodes.reshape(-1, 4)[:, 1:] - stars[:, None], axis=1)
    numbers = {subset: number for number, subset in enumerate(combinations(range(1, 7), 3))}
    counts = np.bincount([numbers[tuple(row)] for row in drawn.tolist()], minlength=comb(6, 3))
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize(("size", "chosen"), [(2, 1), (4, 3), (7, 2), (11, 10)])
def test_subsets_are_uniform(size: int, chosen: int) -> None:
    picked = subsets(np.full(40_000, size), rng(2).random((chosen, 40_000)))
    picked = np.sort(picked, axis=0)
    assert picked.min() >= 0
    assert picked.max() < size
    assert (np.diff(picked, axis=0) > 0).all()
    numbers = {subset: number for number, subset in enumerate(combinations(range(size), chosen))}
    counts = np.bincount([numbers[tuple(column)] for column in picked.T.tolist()], minlength=len(numbers))
    assert stats.chisquare(counts).pvalue > 1e-3


def test_a_generator_decides_all(csr: CSR) -> None:
    seeds = np.arange(20)
    one, again, other = (sample(csr, seeds, [2, 2], rng(seed)) for seed in (5, 5, 6))
    assert all((getattr(one, name) == getattr(again, name)).all() for name in ("nodes", "lengths", "source", "target", "edges"))
    assert len(one.edges) != len(other.edges) or (one.edges != other.edges).any()


def test_isolated_seeds_stand_alone_and_no_seeds_give_nothing(csr: CSR) -> None:
    part = sample(csr, np.array([59, 55]), [3, 3], rng())
    assert part.nodes.tolist() == [59, 55]
    assert part.lengths.tolist() == [1, 1]
    assert len(part.edges) == 0
    nothing = sample(csr, np.array([], dtype=np.int64), [3], rng())
    assert len(nothing.nodes) == len(nothing.lengths) == len(nothing.edges) == 0


@pytest.mark.parametrize(
    ("seeds", "neighbours", "message"),
    [
        ([3, 5, 3], [2], r"seed 3 comes twice"),
        ([3, 60], [2], r"seed 60 is not among the graph's 60 nodes"),
        ([-1], [2], r"seed -1 is not among"),
        ([3], [], r"one fan-out a hop"),
        ([3], [2, 0], r"\[2, 0\] should be .* 1 or more, or -1 for all"),
        ([3], [-2], r"\[-2\] should be"),
    ],
)
def test_what_cannot_be_sampled_is_refused(csr: CSR, seeds: list[int], neighbours: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sample(csr, np.array(seeds), neighbours, rng())


def test_mapped_arrays_sample_the_same_and_scratch_does_not_travel(csr: CSR, tmp_path: Path) -> None:
    for name in ("pointer", "source"):
        np.save(tmp_path / f"{name}.npy", getattr(csr, name))
    mapped = CSR(*(np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("pointer", "source")))
    seeds = np.arange(0, 60, 7)
    before = len(pickle.dumps(csr))
    parts = [sample(some, seeds, [3, 3], rng()) for some in (csr, mapped, pickle.loads(pickle.dumps(csr)))]
    assert all((part.edges == parts[0].edges).all() and (part.nodes == parts[0].nodes).all() for part in parts)
    assert len(pickle.dumps(csr)) == before


def test_threads_do_not_share_their_scratch(csr: CSR) -> None:
    expected = [sample(csr, np.arange(20), [2, 2], rng(seed)).edges for seed in range(200)]
    wrong: list[int] = []

    def work(first: int) -> None:
        for seed in range(first, 200, 4):
            got = sample(csr, np.arange(20), [2, 2], rng(seed)).edges
            if len(got) != len(expected[seed]) or (got != expected[seed]).any():
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
