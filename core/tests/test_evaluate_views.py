"""LiDAR, alignment and uniformity: their definitions longhand, collapse, and where the views come from."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from manyviews.engine.judge import evaluate_run
from manyviews.engine.pretrain import pretrain
from manyviews.errors import DataError
from manyviews.evaluate.alignment import AlignmentUniformity, alignment, uniformity, unit_vectors
from manyviews.evaluate.lidar import LiDAR, lidar
from manyviews.evaluate.online import OnlineEvaluation
from manyviews.evaluate.plan import Planned
from manyviews.evaluate.seen import embed_views
from manyviews.evaluate.task import Embedded
from manyviews.recipe.model import Recipe
from manyviews.testing.toy import ToyEncoder, ToyNoise, ToySource
from manyviews.views.random_mask import RandomMask

RNG = np.random.default_rng(0)


def longhand_lidar(e: np.ndarray, delta: float, epsilon: float) -> float:
    views, units, width = e.shape
    mu_x = e.mean(0)
    mu = mu_x.mean(0)
    between, within = np.zeros((width, width)), delta * np.eye(width)
    for i in range(units):
        between += np.outer(mu_x[i] - mu, mu_x[i] - mu) / units
        for j in range(views):
            within += np.outer(e[j, i] - mu_x[i], e[j, i] - mu_x[i]) / (units * views)
    energy, axes = np.linalg.eigh(within)
    root = axes @ np.diag(energy**-0.5) @ axes.T
    values = np.linalg.eigvalsh(root @ between @ root).clip(min=0)
    p = values / values.sum() + epsilon
    return math.exp(-(p * np.log(p)).sum())


@pytest.mark.parametrize("units", [30, 4])  # more and fewer than the width
def test_lidar_equals_the_longhand_definition(units: int) -> None:
    e = RNG.normal(size=(1, units, 6)) + 0.3 * RNG.normal(size=(5, units, 6))
    assert lidar(e) == pytest.approx(longhand_lidar(e, 1e-4, 1e-7), rel=1e-5)


def test_lidar_counts_directions_that_tell_units_and_none_that_tell_views() -> None:
    units = np.zeros((8, 200, 10))
    units[..., :3] = RNG.normal(size=(1, 200, 3))
    views = np.zeros((8, 200, 10))
    views[..., 3:] = 5 * RNG.normal(size=(8, 200, 7))
    assert lidar(units + 1e-3 * RNG.normal(size=units.shape)) == pytest.approx(3, abs=0.2)
    assert lidar(units + views) == pytest.approx(3, abs=0.3)
    assert lidar(np.ones((4, 20, 5))) == 0.0


def test_alignment_and_uniformity_equal_the_longhand_definition() -> None:
    left, right = unit_vectors(RNG.normal(size=(2, 12, 4)))
    expected = sum(((a - b) ** 2).sum() for a, b in zip(left, right, strict=True)) / 12
    assert alignment(left, right) == pytest.approx(expected)
    pairs = [math.exp(-2 * ((left[i] - left[j]) ** 2).sum()) for i in range(12) for j in range(i)]
    assert uniformity(left) == pytest.approx(math.log(sum(pairs) / len(pairs)))


def test_a_point_is_aligned_and_not_uniform() -> None:
    point = unit_vectors(np.ones((2, 9, 3)))
    assert alignment(*point) == pytest.approx(0, abs=1e-12)
    assert uniformity(point[0]) == pytest.approx(0, abs=1e-12)


def test_views_repeat_and_leave_the_generators_alone() -> None:
    source = ToySource(samples=7)
    encoder, state = ToyEncoder(source.spec, dropout=0.3), torch.get_rng_state()
    first, second = (embed_views(encoder, ToyNoise(), source, np.arange(7), 5, batch_size=3) for _ in range(2))
    assert first.shape == (5, 7, 16)
    assert np.array_equal(first, second)
    assert not np.array_equal(first[0], first[1])
    assert torch.equal(torch.get_rng_state(), state)
    masked = embed_views(encoder, RandomMask(), source, np.arange(7), 3)
    assert masked.shape == (3, 7, 16)


def test_tokens_are_known_again_only_where_they_are_aligned() -> None:
    source = ToySource(samples=4)
    encoder = ToyEncoder(source.spec)
    assert embed_views(encoder, ToyNoise(), source, np.arange(4), 2, unit="token").shape == (2, 32, 16)
    with pytest.raises(DataError, match="RandomMask: tokens of its views"):
        embed_views(encoder, RandomMask(), source, np.arange(4), 2, unit="token")
    with pytest.raises(DataError, match="RandomMask: tokens of its views"):  # before anything is trained
        OnlineEvaluation((Planned("lidar", LiDAR(), 2),), source, unit="token", views=RandomMask())


def test_both_are_told_in_training_and_of_a_finished_run(toy_recipe: Callable[..., Recipe]) -> None:
    tasks = [{"task": "lidar", "every": 2, "views": 4}, {"task": "alignment_uniformity", "every": 2}]
    run = pretrain(toy_recipe(evaluate=tasks, train__steps=4))
    told = {name for entry in run.metrics() for name in entry.metrics if name.startswith("eval/")}
    assert told == {"eval/lidar/lidar", "eval/alignment_uniformity/alignment", "eval/alignment_uniformity/uniformity"}
    rows = {(row.task, row.representation) for row in evaluate_run(run.folder).rows}
    names = ("untrained encoder", "pretrained encoder")
    assert rows == {(task, name) for task in ("lidar", "alignment_uniformity") for name in names}


def test_a_single_unit_is_refused() -> None:
    one = Embedded(np.ones((1, 3), np.float32), np.array(["train"]), views=np.ones((2, 1, 3), np.float32))
    for task in (LiDAR(), AlignmentUniformity()):
        with pytest.raises(DataError, match="of 1 units"):
            task(one)
