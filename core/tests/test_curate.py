"""Redundancy reduction: each measure longhand, what stays, and a training that reads it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from manyviews.curate.measures import MEASURES, DifferenceHash, Embedding, Information, Structure, shrunk
from manyviews.curate.reduce import reduce
from manyviews.errors import UserError


def pictures(count: int = 5, rows: int = 16, columns: int = 24) -> np.ndarray:
    return np.random.default_rng(0).random((count, rows, columns))


def test_a_difference_hash_counts_rises_that_differ() -> None:
    x = pictures(2, 8, 9)
    bits = [[x[n, r, c + 1] > x[n, r, c] for r in range(8) for c in range(8)] for n in range(2)]
    wanted = sum(a != b for a, b in zip(*bits, strict=True))
    assert DifferenceHash(x).distances(0, np.array([0, 1])).tolist() == [0, wanted]
    bright = np.stack([x[0], 3 * x[0] + 7])
    assert DifferenceHash(bright).distances(0, np.array([1])).tolist() == [0]


def test_means_over_a_grid() -> None:
    x = pictures(1, 16, 27)
    found = shrunk(x, 8, 9)
    np.testing.assert_allclose(found[0, 3, 4], x[0, 6:8, 12:15].mean())
    assert shrunk(x[:, :4, :3], 8, 9).shape == (1, 8, 9)


def test_structural_similarity_longhand() -> None:
    x = pictures(2, 8, 8)
    one, two = ((each - each.min()) / (each.max() - each.min()) for each in x)
    a, b = float(one.mean()), float(two.mean())
    both = float(((one - a) * (two - b)).mean())
    luminance = (2 * a * b + 1e-4) / (a * a + b * b + 1e-4)
    wanted = luminance * (2 * both + 9e-4) / (float(one.var()) + float(two.var()) + 9e-4)
    np.testing.assert_allclose(Structure(x).distances(0, np.array([1])), [1 - wanted])
    assert Structure(x).distances(0, np.array([0]))[0] == pytest.approx(0)
    with pytest.raises(UserError, match=r"pictures of 8 x 8 or more"):
        Structure(x[:, :4, :4])


def test_mutual_information_longhand() -> None:
    x = pictures(2, 12, 12)
    levels = [np.minimum((16 * (e - e.min()) / (e.max() - e.min())).astype(int), 15).ravel().tolist() for e in x]

    def bits(values: list[object]) -> float:
        return -sum(c / len(values) * math.log(c / len(values)) for c in (values.count(v) for v in set(values)))

    one, two, both = bits(levels[0]), bits(levels[1]), bits(list(zip(*levels, strict=True)))  # type: ignore[arg-type]
    np.testing.assert_allclose(Information(x).distances(0, np.array([1])), [1 - (one + two - both) / max(one, two)])
    negative = np.stack([x[0], 1 - x[0]])
    assert Information(negative).distances(0, np.array([1]))[0] < 0.1, "another contrast of the same picture"
    flat = Information(np.zeros((2, 8, 8)))
    assert flat.distances(0, np.array([1]))[0] == 0


def test_embeddings_are_compared_by_direction() -> None:
    x = np.array([[1.0, 0.0], [2.0, 0.0], [-1.0, 2.0], [-2.0, -2.0]])
    centred = x - x.mean(0)
    cosine = centred @ centred.T / np.outer(np.linalg.norm(centred, axis=1), np.linalg.norm(centred, axis=1))
    np.testing.assert_allclose(Embedding(x).distances(0, np.arange(4)), 1 - cosine[0], atol=1e-12)


def test_the_first_of_what_is_alike_stays() -> None:
    x = np.array([[0.0, 1], [0, 1.001], [5, -1], [0, 1], [5, -1.001], [-5, 0]])
    found = reduce(Embedding(x), np.array([10, 11, 12, 13, 14, 15]), 0.01)
    assert found.kept.tolist() == [10, 12, 15]
    assert dict(zip(found.dropped.tolist(), found.like.tolist(), strict=True)) == {11: 10, 13: 10, 14: 12}
    apart = reduce(Embedding(x), np.arange(6), 0.01, groups=np.array(["a", "b", "a", "a", "b", "b"]))
    assert apart.kept.tolist() == [0, 1, 2, 4, 5]


@pytest.mark.parametrize("name", MEASURES)
def test_every_measure_drops_copies_and_keeps_others(name: str) -> None:
    x = np.repeat(pictures(4, 32, 32), 3, axis=0)
    kind = MEASURES[name]
    found = reduce(kind(x), np.arange(12), kind.threshold)
    assert found.kept.tolist() == [0, 3, 6, 9]
