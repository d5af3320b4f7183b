"""Embeddings: the forms, independence of the batch, and an encoder left as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from jaxtyping import Int
from torch.testing import assert_close

from manyviews.encoding import Encoding
from manyviews.errors import DataError
from manyviews.evaluate.embed import RaggedError, embed, embed_forms, token_counts
from manyviews.testing.toy import ToyBatch, ToyEncoder, ToySource
from manyviews.view import View


def encoder(source: ToySource, dropout: float = 0.5) -> ToyEncoder:
    torch.manual_seed(0)
    return ToyEncoder(source.spec, dropout=dropout)


def test_pooled_flat_and_tokens() -> None:
    source = ToySource(samples=10, length=5)
    model = encoder(source)
    index = np.array([7, 2, 2, 9])
    pooled = embed(model, source, index)
    tokens = embed(model, source, index, unit="token")
    flat = embed(model, source, index, form="flat", batch_size=3)
    assert pooled.dtype == tokens.dtype == flat.dtype == np.float32
    assert (pooled.shape, tokens.shape, flat.shape) == ((4, 16), (20, 16), (4, 80))
    assert_close(flat, tokens.reshape(4, 80))
    assert_close(pooled, tokens.reshape(4, 5, 16).mean(1))
    both = embed_forms(model, source, index, forms=("pooled", "flat"))
    assert_close(both, {"pooled": pooled, "flat": flat})


@pytest.mark.parametrize("unit", ["sample", "token"])
def test_an_embedding_does_not_depend_on_its_batch(unit: str) -> None:
    source = ToySource(samples=12, length=(2, 9))
    model, index = encoder(source), np.arange(12)
    whole, single = (embed(model, source, index, batch_size=size, unit=unit) for size in (12, 1))
    assert_close(whole, single, atol=1e-5, rtol=1e-5)
    assert_close(whole, embed(model, source, index, batch_size=12, unit=unit), rtol=0, atol=0)


def test_the_encoder_and_the_generator_are_left_as_they_were() -> None:
    source = ToySource(samples=6)

    class Drawing(ToyEncoder):
        def forward(self, view: View) -> Encoding:
            torch.rand(3)  # an encoder that draws from the global generator even now
            return super().forward(view)

    model = Drawing(source.spec, dropout=0.5).train()
    frozen = model.transformer.eval()
    model.inwards.weight.grad = torch.ones_like(model.inwards.weight)
    state = torch.get_rng_state()
    embed(model, source, np.arange(6))
    assert model.training
    assert not frozen.training
    assert_close(torch.get_rng_state(), state)
    assert_close(model.inwards.weight.grad, torch.ones_like(model.inwards.weight))


def test_modes_come_back_after_an_error() -> None:
    source = ToySource(samples=6, length=(2, 9))
    model = encoder(source).train()
    with pytest.raises(RaggedError):
        embed(model, source, np.arange(6), form="flat")
    assert model.training


@pytest.mark.parametrize("batch_size", [12, 1])  # ragged within a batch, and from batch to batch
def test_ragged_samples_have_no_flat_form(batch_size: int) -> None:
    source = ToySource(samples=12, length=(2, 9))
    with pytest.raises(RaggedError, match="use form 'pooled'"):
        embed(encoder(source), source, np.arange(12), form="flat", batch_size=batch_size)


def test_tokens_have_no_flat_form() -> None:
    source = ToySource(samples=4)
    with pytest.raises(DataError, match="unit is the token"):
        embed(encoder(source), source, np.arange(4), unit="token", form="flat")


@pytest.mark.parametrize("unit", ["sample", "token"])
def test_nan_names_the_samples(unit: str) -> None:
    class Broken(ToySource):
        def batch(self, index: Int[np.ndarray, "samples"]) -> ToyBatch:
            batch = super().batch(index)
            batch.steps[torch.from_numpy(np.isin(index, [5, 9]))[batch.lengths.owners()]] = float("nan")
            return batch

    source = Broken(samples=12, length=(2, 9))
    with pytest.raises(DataError, match=r"2 samples holds NaN or infinity: samples 5, 9\n"):
        embed(encoder(source), source, np.arange(3, 12), unit=unit)


def test_no_samples_give_no_rows_of_the_right_width() -> None:
    source = ToySource(samples=4)
    net = encoder(source)
    assert embed(net, source, np.arange(0)).shape == (0, net.pooled_width)
    with pytest.raises(DataError, match="use form 'pooled'"):
        embed(net, source, np.arange(0), form="flat")


def test_tokens_are_counted_without_encoding() -> None:
    source = ToySource(samples=12, length=(2, 9))
    assert np.array_equal(token_counts(encoder(source), source, batch_size=5), source.lengths)
