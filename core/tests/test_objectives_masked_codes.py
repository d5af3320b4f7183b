"""Codes against distances and cosines written out; clusters found before the first step; a second round on a layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from manyviews.engine.pretrain import pretrain
from manyviews.errors import UserError
from manyviews.lengths import Lengths
from manyviews.mask import Mask
from manyviews.objective import Branch
from manyviews.objectives.clusters import nearest
from manyviews.objectives.masked_codes import MaskedCodes, cosine_logits
from manyviews.recipe.model import Recipe
from manyviews.testing.toy import ToyBatch, ToyEncoder, ToySpec
from manyviews.view import View

SMALL = {"codes": 5, "out": 4, "width": 8, "heads": 2}


def batch_of(count: int = 60, seed: int = 0) -> ToyBatch:
    generator = torch.Generator().manual_seed(seed)
    return ToyBatch(torch.randn(count, 4, generator=generator), Lengths.equal(count // 6, 6))


def endless() -> Iterator[ToyBatch]:
    return (batch_of(seed=seed) for seed in range(10**6))


def test_nearest_centroid_longhand() -> None:
    tokens, centroids = torch.randn(40, 6, dtype=torch.float64), torch.randn(7, 6, dtype=torch.float64)
    distances = [[float((token - centroid).square().sum()) for centroid in centroids] for token in tokens]
    assert nearest(tokens, centroids).tolist() == [row.index(min(row)) for row in distances]


def test_cosine_logits_longhand() -> None:
    predictions, codes = torch.randn(9, 6, dtype=torch.float64), torch.randn(5, 6, dtype=torch.float64)
    expected = torch.stack([F.cosine_similarity(row[None], codes) / 0.1 for row in predictions])
    assert_close(cosine_logits(predictions, codes, 0.1), expected)


def test_the_loss_is_the_cross_entropy_of_withheld_tokens() -> None:
    torch.manual_seed(0)
    objective, encoder = MaskedCodes(**SMALL, depth=0), ToyEncoder(ToySpec(channels=4), width=8, hide="replace")
    predictor = objective.predictor(encoder, 8)
    objective.prepare(encoder, endless())
    batch = batch_of()
    where = torch.rand(60) < 0.4
    view = View(batch, encoder.layout(batch), Mask(where[None]))
    loss = objective((view,), Branch(encoder, torch.nn.Identity(), predictor, "sample"), None, torch.Generator())
    tokens = encoder(view).tokens[where]
    logits = cosine_logits(predictor.decoder.outwards(tokens), predictor.codes, 0.1)
    codes = torch.cdist(batch.steps[where], objective.centroids).argmin(1)
    picked = logits.log_softmax(1)[torch.arange(len(codes)), codes]
    assert_close(loss.value, -picked.mean())
    assert 1 < loss.metrics["perplexity"] <= 5


def test_clusters_are_k_means_of_the_first_tokens() -> None:
    objective, encoder = MaskedCodes(**SMALL, fit_tokens=3000), ToyEncoder(ToySpec(channels=4))
    objective.predictor(encoder, 16)
    objective.prepare(encoder, endless())
    tokens = torch.cat([batch_of(seed=seed).steps for seed in range(50)])
    codes = nearest(tokens, objective.centroids)
    for code in range(5):
        assert_close(objective.centroids[code], tokens[codes == code].mean(0), atol=0.15, rtol=0)
    again = MaskedCodes(**SMALL, fit_tokens=3000)
    again.predictor(encoder, 16)
    again.prepare(encoder, endless())
    assert_close(again.centroids, objective.centroids)


def test_too_few_tokens_and_a_layer_without_a_run_are_refused() -> None:
    objective, encoder = MaskedCodes(codes=100, out=4), ToyEncoder(ToySpec(channels=4))
    objective.predictor(encoder, 16)
    with pytest.raises(UserError, match="100 codes cannot be found on 60 training tokens"):
        objective.prepare(encoder, iter([batch_of()]))
    with pytest.raises(UserError, match="`layer` is one of the encoder of a finished `run`"):
        MaskedCodes(layer=3)


def test_a_second_round_takes_its_codes_from_the_first_rounds_layer(toy_recipe: Callable[..., Recipe]) -> None:
    first = pretrain(toy_recipe(objective={"name": "masked_codes", **SMALL}))
    second = {"name": "masked_codes", **SMALL, "run": str(first.folder), "layer": 1}
    run = pretrain(toy_recipe(objective=second))
    losses = [entry.metrics["train/loss"] for entry in run.metrics() if "train/loss" in entry.metrics]
    assert all(math.isfinite(loss) for loss in losses)
    with pytest.raises(UserError, match="`layer` 7 of an encoder of 1 layers"):
        pretrain(toy_recipe(objective=second | {"layer": 7}))
