"""The tasks of the graph literature against plain implementations of their protocols."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.svm import SVC
from torch import nn
from torch.testing import assert_close

from manyviews.errors import DataError
from manyviews.evaluate.task import Embedded
from manyviews.source import Labels, Pairs
from manyviews_graphs.tasks.graph_classification import GraphClassification
from manyviews_graphs.tasks.link_prediction import LinkPrediction, hits, mean_reciprocal_rank
from manyviews_graphs.tasks.node_classification import NodeClassification

SPLITS = np.array(["train"] * 60 + ["valid"] * 60 + ["test"] * 100 + [""] * 30)


def nodes(*, splits: np.ndarray = SPLITS, **changes: Any) -> Embedded:
    x, y = make_classification(250, 12, n_informative=6, n_classes=3, class_sep=0.7, random_state=1)
    labels = Labels("topic", "classification", y.astype(np.int64), **changes)
    return Embedded(x.astype(np.float32), splits, labels)


def published_probe(data: Embedded, seed: int, lr: float, decay: float, epochs: int) -> dict[str, float]:
    """As in the literature: one linear layer, its copy of the best epoch on valid kept."""
    assert data.labels is not None
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.labels.values)
    train, valid, test = (torch.from_numpy(data.rows(split)) for split in ("train", "valid", "test"))
    layer = nn.Linear(x.shape[1], 3)
    bound = x.shape[1] ** -0.5
    drawn = torch.rand(x.shape[1] + 1, 3, generator=torch.Generator().manual_seed(seed)) * 2 * bound - bound
    with torch.no_grad():
        layer.weight.copy_(drawn[:-1].T)
        layer.bias.copy_(drawn[-1])
    optimizer = torch.optim.Adam(layer.parameters(), lr=lr, weight_decay=decay)
    best, at_best = 0.0, 0.0
    for _ in range(epochs):
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(layer(x[train]), y[train]))
        optimizer.step()
        guess = layer(x).argmax(1)
        last, good = ((guess[rows] == y[rows]).double().mean().item() for rows in (test, valid))
        if good >= best:
            best, at_best = good, last
    return {"accuracy": last, "accuracy_best_valid": at_best, "valid_accuracy": good}


def test_node_classification_is_the_published_probe_seed_by_seed() -> None:
    data = nodes()
    task = NodeClassification(lr=0.02, weight_decay=1e-3, epochs=40, seeds=3, seed=7)
    runs = [published_probe(data, seed, 0.02, 1e-3, 40) for seed in (7, 8, 9)]
    scores = task(data)
    for name in ("accuracy", "accuracy_best_valid", "valid_accuracy"):
        values = np.array([run[name] for run in runs])
        assert_close(scores.metrics[name], values.mean())
        assert_close(scores.std[name], values.std(ddof=1))
    assert len({run["accuracy_best_valid"] for run in runs}) > 1, "seeds that agree would hide that they are told apart"


def test_the_probe_does_not_standardise_unless_asked() -> None:
    data = nodes()
    moved = Embedded(data.x * 30 + 5, data.splits, data.labels)
    plain, asked = NodeClassification(epochs=20), NodeClassification(epochs=20, standardize=True)
    assert plain(data).metrics != plain(moved).metrics
    assert_close(dict(asked(data).metrics), dict(asked(moved).metrics))


def test_without_test_nodes_the_valid_nodes_are_reported_alone() -> None:
    splits = np.where(SPLITS == "test", "", SPLITS)
    scores = NodeClassification(epochs=10, seeds=1)(nodes(splits=splits))
    assert set(scores.metrics) == {"accuracy"}
    assert scores.std == {}


def test_numbers_are_no_classes() -> None:
    data = nodes()
    numbers = Embedded(data.x, data.splits, Labels("size", "regression", data.x[:, 0].astype(np.float64)))
    for task in (NodeClassification(), GraphClassification()):
        with pytest.raises(DataError, match="labels 'size' are numbers; `linear_probe` is the probe for these"):
            task.check(numbers)


def test_graph_classification_is_the_published_grid_search() -> None:
    x, y = make_classification(120, 8, n_informative=4, n_classes=3, class_sep=0.8, random_state=0)
    expected = []
    for fit, report in StratifiedKFold(10, shuffle=True, random_state=0).split(x, y):
        search = GridSearchCV(SVC(random_state=42), {"C": [1e-3, 1e-2, 1e-1, 1, 10]}).fit(x[fit], y[fit])
        expected.append(f1_score(y[report], search.predict(x[report]), average="micro"))
    graphs = Embedded(x.astype(np.float32), np.full(120, "train"), Labels("y", "classification", y.astype(np.int64)))
    scores = GraphClassification()(graphs)
    assert_close(scores.metrics["micro_f1"], float(np.mean(expected)))
    assert_close(scores.std["micro_f1"], float(np.std(expected)))
    assert scores.metrics["micro_f1"] > 0.5


def test_graph_classification_goes_by_no_split_and_leaves_unlabelled_graphs_out() -> None:
    data = nodes()
    assert data.labels is not None
    values = data.labels.values.copy()
    values[200:] = -1
    some = Embedded(data.x, data.splits, Labels("y", "classification", values))
    first = Embedded(data.x[:200], np.full(200, "test"), Labels("y", "classification", values[:200]))
    task = GraphClassification(outer_folds=3, repeats=2)
    assert_close(dict(task(some).metrics), dict(task(first).metrics))
    other = GraphClassification(outer_folds=3, seed=1)
    halves = [GraphClassification(outer_folds=3)(first).metrics["micro_f1"], other(first).metrics["micro_f1"]]
    assert_close(task(first).metrics["micro_f1"], float(np.mean(halves)))


def test_rare_classes_are_said_aloud_and_too_rare_ones_refused() -> None:
    data = nodes()
    assert data.labels is not None
    values = np.where(np.arange(250) < 3, 3, data.labels.values)
    scores = GraphClassification(outer_folds=5)(Embedded(data.x, data.splits, Labels("y", "classification", values)))
    assert scores.notes == ("a class has 3 graphs, fewer than the 5 folds: some folds report none of it",)
    lone = Labels("y", "classification", np.where(np.arange(250) < 3, 1, 0), ("mutagenic", "harmless"))
    with pytest.raises(DataError, match="class 'harmless' has 3 labelled graphs; 10 folds need 10"):
        GraphClassification().check(Embedded(data.x, data.splits, lone))


def test_a_constant_embedding_is_judged_and_not_better_than_the_largest_class() -> None:
    data = nodes()
    assert data.labels is not None
    constant = Embedded(np.ones_like(data.x), data.splits, data.labels)
    largest = np.bincount(data.labels.values).max() / 250
    assert abs(GraphClassification(outer_folds=5)(constant).metrics["micro_f1"] - largest) < 0.02


def links(seed: int = 0) -> Embedded:
    """Nodes in four groups; links within a group, other pairs anywhere else."""
    random = np.random.default_rng(seed)
    group = random.integers(4, size=120)
    x = np.eye(4)[group] + 0.3 * random.normal(size=(120, 4))
    left, right = random.integers(120, size=(2, 900))
    same = group[left] == group[right]
    return Embedded(
        x.astype(np.float32),
        np.full(120, "train"),
        pairs=Pairs("links", left, right, same, random.choice(["train", "valid", "test"], 900, p=[0.5, 0.2, 0.3])),
    )


@pytest.mark.parametrize("score", ["dot", "cosine"])
def test_scores_as_they_stand(score: Any) -> None:
    data = links()
    assert data.pairs is not None
    test = data.pairs.splits == "test"
    a, b, same = data.x[data.pairs.left[test]], data.x[data.pairs.right[test]], data.pairs.same[test]
    value = (a * b).sum(1)
    if score == "cosine":
        value = value / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
    found = LinkPrediction(score=score, hits=(5,))(data).metrics
    assert_close(found["auc"], float(roc_auc_score(same, value)))
    threshold = sorted(value[~same])[-5]
    assert_close(found["hits@5"], float((value[same] > threshold).mean()))
    assert found["auc"] > 0.8


def test_a_score_fitted_on_training_pairs_finds_the_dimensions_that_tell() -> None:
    data = links()
    assert data.pairs is not None
    noise = 20 * np.random.default_rng(1).normal(size=(120, 4)).astype(np.float32)
    hidden = Embedded(np.concatenate([data.x, noise], axis=1), data.splits, pairs=data.pairs)
    assert LinkPrediction(score="dot", hits=())(hidden).metrics["auc"] < 0.65
    assert LinkPrediction(hits=())(hidden).metrics["auc"] > 0.8


def test_ranks_longhand() -> None:
    found, others = np.array([0.9, 0.5, 0.1]), np.array([0.8, 0.5, 0.5, 0.2])
    # above and level: none; 0.8 above and two level; all four above
    assert_close(mean_reciprocal_rank(found, others), (1 / 1 + 1 / (2 + 1) + 1 / 5) / 3)
    assert_close(hits(found, others, 1), 1 / 3)
    assert_close(hits(found, others, 2), 1 / 3)
    assert_close(hits(found, others, 4), 2 / 3)


def test_links_without_training_pairs_or_enough_others_are_refused_in_words() -> None:
    data = links()
    assert data.pairs is not None
    from dataclasses import replace

    untrained = replace(data, pairs=replace(data.pairs, splits=np.full(900, "test")))
    with pytest.raises(DataError, match="`score: cosine` needs no training pairs"):
        LinkPrediction().check(untrained)
    with pytest.raises(DataError, match="hits@1000 needs as many pairs that are no links"):
        LinkPrediction(hits=(1000,)).check(data)
    alike = replace(data, pairs=replace(data.pairs, same=np.ones(900, bool)))
    with pytest.raises(DataError, match="which are reported, belong together; there must be some of either kind"):
        LinkPrediction(score="dot").check(alike)
