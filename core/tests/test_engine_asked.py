"""A run that asks a finished one: clusters of its embedding, exact resume; what cannot be asked is refused in a sentence."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import pairwise_distances_argmin
from torch.nn import functional as F

from manyviews.engine import checkpoint
from manyviews.engine.load import load_frozen, load_trained
from manyviews.engine.parts import build_source
from manyviews.engine.pretrain import model_of, order_of, prepare, pretrain
from manyviews.engine.run import Run
from manyviews.errors import UserError
from manyviews.recipe.model import Recipe
from manyviews.testing.toy import ToySource, ToySpec
from manyviews.view import View

Make = Callable[..., Recipe]
LABELS = {"name": "pseudo_labels", "classes": 3, "window": 64, "warmup_batches": 2}
SECOND = {"views": {"name": "noise"}, "objective": LABELS}


def losses(run: Run) -> list[float]:
    return [entry.metrics["train/loss"] for entry in run.metrics() if "train/loss" in entry.metrics]


def asking(run: Run, **changes: object) -> dict[str, object]:
    return {**SECOND, "objective": LABELS | {"run": str(run.folder)} | changes}


@pytest.fixture
def first(toy_recipe: Make) -> Run:
    return pretrain(toy_recipe())


@pytest.mark.parametrize("unit", ["sample", "token"])
@pytest.mark.parametrize("length", [8, [3, 9]])
def test_labels_are_clusters_of_the_first_runs_embedding(toy_recipe: Make, unit: str, length: object) -> None:
    first = pretrain(toy_recipe(data__length=length))
    run = pretrain(toy_recipe(**asking(first), unit=unit, data__length=length))
    weights = checkpoint.read_weights(run.checkpoint)
    centroids = weights["terms.0.objective.clusters.centroids"]
    trained, source = load_trained(first.folder), build_source(run.recipe)
    train = np.flatnonzero(source.splits() == "train")[:16]
    model = model_of(run.recipe, source)
    model.load_state_dict(weights)
    batch = source.batch(train)
    layout = model.encoder.layout(batch)
    labels = model.each_term[0].objective.answer(model.encoder, batch, layout)
    encoding = trained.encoder(View(batch, layout))
    made = F.normalize(encoding.pooled if unit == "sample" else encoding.tokens, dim=1).detach()
    assert labels.tolist() == pairwise_distances_argmin(made, centroids).tolist()
    if unit == "sample":  # a toy's classes are its centres, far from one another
        truth, found = source.labels().values[train], labels.numpy()
        together = [np.bincount(truth[found == cluster]).max() for cluster in np.unique(found)]
        assert sum(together) / len(train) > 0.8


def test_whom_it_asks_is_neither_trained_nor_stored_nor_followed(toy_recipe: Make, first: Run) -> None:
    recipe = toy_recipe(**asking(first))
    before = checkpoint.read_weights(first.checkpoint)
    source = build_source(recipe)
    model, order = model_of(recipe, source), order_of(recipe, source)
    prepare(source, order, model)
    frozen = model.each_term[0].objective.frozen
    assert frozen is not None
    mine = {id(parameter) for parameter in model.parameters()}
    assert not mine & {id(parameter) for parameter in frozen.encoder.parameters()}
    assert not any("frozen" in name for name in model.state_dict())
    pretrain(recipe)
    after = checkpoint.read_weights(first.checkpoint)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(torch.equal(value, before[f"encoder.{name}"]) for name, value in frozen.encoder.state_dict().items())


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_has_the_same_labels(toy_recipe: Make, first: Run, asked: bool, workers: int) -> None:
    parts = asking(first) if asked else SECOND
    run = pretrain(toy_recipe(**parts, train__workers=workers, train__log_every=1))
    whole, weights = losses(run), checkpoint.read_weights(run.checkpoint)
    shutil.rmtree(run.checkpoint)  # as if it had been killed after step 8
    resumed = pretrain(resume=run.folder)
    assert losses(resumed) == whole
    again = checkpoint.read_weights(resumed.checkpoint)
    assert all(torch.equal(weights[name], again[name]) for name in weights)


def test_a_run_that_has_trained_on_since_is_refused_at_resume(toy_recipe: Make, first: Run) -> None:
    run = pretrain(toy_recipe(**asking(first)))
    shutil.rmtree(run.checkpoint)
    shutil.rmtree(first.checkpoint)  # another one of its checkpoints is its newest now
    with pytest.raises(UserError, match=r"objective\.run: .* is not what it was when this run began: its weights have changed"):
        pretrain(resume=run.folder)


def test_a_run_on_other_data_is_refused(toy_recipe: Make, first: Run) -> None:
    said = rf"objective\.run: {re.escape(str(first.folder))} was trained on data of channels 4, and these are of channels 5"
    with pytest.raises(UserError, match=said):
        pretrain(toy_recipe(**asking(first), data__channels=5))
    with pytest.raises(UserError, match="is a run of toy, and these data are of sonar; give one on such data"):
        load_frozen(str(first.folder)).check("sonar", ToySpec(channels=4))


def test_what_labels_are_called_is_no_other_data(first: Run) -> None:
    class Named(ToySpec):
        alike = ("channels",)
        target: str

    frozen = replace(load_frozen(str(first.folder)), spec=Named(channels=4, target="a"))
    frozen.check("toy", Named(channels=4, target="b"))
    with pytest.raises(UserError, match="of channels 4, and these are of channels 5"):
        frozen.check("toy", Named(channels=5, target="a"))


def test_a_source_in_memory_is_judged_alike(toy_recipe: Make, first: Run) -> None:
    pretrain(toy_recipe(**asking(first)), source=ToySource(samples=64, seed=3))
    with pytest.raises(UserError, match="of channels 4, and these are of channels 7; give a run on data that are read alike"):
        pretrain(toy_recipe(**asking(first)), source=ToySource(samples=64, spec=ToySpec(channels=7)))


def test_no_run_there_and_more_clusters_than_samples_are_refused(toy_recipe: Make, first: Run) -> None:
    with pytest.raises(UserError, match=r"objective: .*nowhere.*: no checkpoint here"):
        pretrain(toy_recipe(**{**SECOND, "objective": LABELS | {"run": str(first.folder / "nowhere")}}))
    with pytest.raises(UserError, match="objective: 90 clusters cannot be found among 48 training samples"):
        pretrain(toy_recipe(**asking(first, classes=90)))
