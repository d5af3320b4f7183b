"""Encoders of tables: what they give back, and that a row is never coloured by its neighbours."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from manyviews.errors import UserError
from manyviews.mask import Mask
from manyviews.view import View
from manyviews_tabular.encoder import TableEncoder
from manyviews_tabular.mlp import TableMLP
from manyviews_tabular.source import TableSource
from manyviews_tabular.transformer import TableTransformer

ENCODERS = {
    "mean": lambda spec: TableTransformer(spec, width=8, depth=2, heads=2),
    "reg": lambda spec: TableTransformer(spec, width=8, depth=1, heads=2, pool="reg", norm="post"),
    "replace": lambda spec: TableTransformer(spec, width=8, depth=1, heads=2, pool="reg_mean", hide="replace", numbers="bins"),
    "pieces": lambda spec: TableTransformer(spec, width=8, depth=1, heads=2, numbers="piecewise"),
    "mlp": lambda spec: TableMLP(spec, width=8, depth=1, column_width=4, numbers="bins"),
    "mlp pieces": lambda spec: TableMLP(spec, width=8, depth=1, column_width=4, numbers="piecewise"),
}


@pytest.fixture
def source(frame):
    return TableSource(path=frame, target="label")


@pytest.fixture(params=ENCODERS)
def encoder(request, source):
    torch.manual_seed(0)
    return ENCODERS[request.param](source.spec)


def shown(encoder: TableEncoder, batch, hidden: torch.Tensor | None = None) -> View:
    mask = None if hidden is None else Mask(hidden.reshape(1, -1))
    return View(batch, encoder.layout(batch), mask)


def test_shapes(encoder, source):
    batch = source.batch(np.arange(5))
    columns = len(source.spec.tokens)
    layout = encoder.layout(batch)
    assert layout.lengths.each == columns
    assert_close(layout.coordinates()[:columns, 0], torch.arange(columns, dtype=torch.float32))
    encoding = encoder(shown(encoder, batch))
    assert encoding.tokens.shape == (5 * columns, encoder.width)
    assert encoding.pooled.shape == (5, encoder.pooled_width)
    assert encoding.present is None


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_row_is_the_same_alone_and_in_a_batch(encoder, source, share):
    encoder = encoder.double().eval()
    index = np.arange(12)
    hidden = torch.rand(12, len(source.spec.tokens), generator=torch.Generator().manual_seed(0)) < share
    hidden[:, 0] = False
    together = encoder(shown(encoder, source.batch(index), hidden if share else None))
    for i in index:
        alone = encoder(shown(encoder, source.batch(index[i : i + 1]), hidden[i] if share else None))
        assert_close(alone.pooled[0], together.pooled[i])


def test_hidden_columns_do_not_reach_the_encoding(encoder, source):
    batch = source.batch(np.arange(6))
    other = type(batch)(batch.values + 5, ~batch.missing, batch.codes)
    hidden = torch.zeros(6, len(source.spec.tokens), dtype=torch.bool)
    hidden[:, : batch.values.shape[1]] = True
    assert_close(encoder(shown(encoder, batch, hidden)).pooled, encoder(shown(encoder, other, hidden)).pooled)
    assert not torch.allclose(encoder(shown(encoder, batch)).pooled, encoder(shown(encoder, other)).pooled)


def test_dropping_says_what_is_left(source):
    encoder = TableTransformer(source.spec, width=8, depth=1, heads=2)
    batch = source.batch(np.arange(3))
    hidden = torch.zeros(3, len(source.spec.tokens), dtype=torch.bool)
    hidden[0, :2] = hidden[1, 3:] = True
    encoding = encoder(shown(encoder, batch, hidden))
    assert_close(encoding.lengths.tensor, (~hidden).sum(1))
    assert_close(encoding.present, (~hidden).flatten().nonzero().squeeze(1))
    assert encoding.tokens.shape[0] == int((~hidden).sum())


def test_the_ragged_way_equals_the_dense_one(source):
    """Equally many hidden columns in each row, once known and once not."""
    encoder = TableTransformer(source.spec, width=8, depth=2, heads=2, pool="reg_mean").double()
    batch = source.batch(np.arange(7))
    columns = len(source.spec.tokens)
    hidden = (torch.rand(7, columns, generator=torch.Generator().manual_seed(0)).argsort(1) < 3).reshape(1, -1)
    layout = encoder.layout(batch)
    dense = encoder(View(batch, layout, Mask(hidden, 3)))
    ragged = encoder(View(batch, layout, Mask(hidden)))
    assert_close(dense.tokens, ragged.tokens)
    assert_close(dense.pooled, ragged.pooled)
    assert_close(dense.present, ragged.present)


def test_a_row_with_nothing_shown_is_finite(source):
    for encoder in (make(source.spec) for make in ENCODERS.values()):
        batch = source.batch(np.arange(3))
        hidden = torch.ones(3, len(source.spec.tokens), dtype=torch.bool)
        hidden[1:, 0] = False
        assert encoder(shown(encoder, batch, hidden)).pooled.isfinite().all()


def test_missing_unseen_and_levels_have_their_own_tokens(source):
    embedding = TableTransformer(source.spec, width=8, depth=1, heads=2).embedding
    batch = source.batch(np.array([3, 0]))
    codes = batch.codes.clone()
    codes[0, 0], codes[1, 0] = 0, 1
    tokens = embedding(type(batch)(batch.values, batch.missing, codes))
    numeric = batch.values.shape[1]
    assert batch.missing[0, 0]
    assert_close(tokens[0, 0], embedding.missing_embeddings[0] + embedding.bias[0])
    assert_close(tokens[1, numeric], embedding.bias[numeric])
    assert not torch.allclose(tokens[0, numeric], tokens[1, numeric])


def test_gradients_reach_every_parameter_but_those_of_hidden_tokens(encoder, source):
    encoding = encoder(shown(encoder, source.batch(np.arange(60))))
    (encoding.tokens.square().sum() + encoding.pooled.square().sum()).backward()
    without = {name for name, parameter in encoder.named_parameters() if parameter.grad is None}
    assert without <= {"mask_token", "row.mask_tokens"}


def test_targets_hold_numbers_and_one_hot_levels(source):
    encoder = TableTransformer(source.spec, width=8, depth=1, heads=2)
    batch = source.batch(np.arange(60))
    targets = encoder.targets(batch, torch.arange(60 * encoder.columns)).reshape(60, encoder.columns, encoder.target_channels)
    numeric = batch.values.shape[1]
    assert targets.isnan()[:, :numeric, 1:].all()
    assert targets.isnan()[:, numeric:, 0].all()
    assert targets[3, 0].isnan().all()  # a missing age
    assert_close(targets[0, :numeric, 0], batch.values[0])
    city = targets[:, numeric, 1:]
    assert_close(city.nansum(1), (batch.codes[:, 0] > 0).float())
    assert_close((~city.isnan()).sum(1), torch.where(batch.codes[:, 0] > 0, 4, 0))  # RARE and three cities


def test_classes_are_bins_and_levels(source):
    encoder = TableTransformer(source.spec, width=8, depth=1, heads=2)
    batch = source.batch(np.arange(60))
    classes = encoder.classes(batch).reshape(60, -1)
    numeric = batch.values.shape[1]
    assert_close(classes[:, :numeric] < 0, batch.missing)
    assert_close(classes[:, numeric:], batch.codes.long() - 2 + (batch.codes == 0) * 1)
    limits = torch.tensor(encoder.column_classes)
    assert (classes < limits).all()
    assert encoder.target_classes == limits.max()
    income = classes[:, 1]
    assert_close(batch.values[:, 1].argsort(), torch.stack([income * 1000.0, batch.values[:, 1]]).sum(0).argsort())


@pytest.mark.parametrize("make", ENCODERS.values(), ids=ENCODERS)
@pytest.mark.parametrize("kind", ["numbers", "categories", "single"])
def test_tables_of_one_kind(make, kind):
    frame = {
        "numbers": pd.DataFrame({"x": [1.0, 2.5, 3.0, 7.0], "y": [1.0, None, 0.0, 5.0]}),
        "categories": pd.DataFrame({"c": list("abab"), "d": list("xyyx")}),
        "single": pd.DataFrame({"c": list("abab")}),
    }[kind]
    source = TableSource(path=frame)
    encoder = make(source.spec)
    batch = source.batch(np.arange(4))
    encoding = encoder(shown(encoder, batch))
    assert encoding.pooled.isfinite().all()
    assert encoder.targets(batch, torch.tensor([0])).shape == (1, encoder.target_channels)
    assert encoder.classes(batch).shape == (4 * encoder.columns,)


def test_an_empty_batch(encoder, source):
    encoding = encoder.eval()(shown(encoder, source.batch(np.array([], int))))
    assert encoding.pooled.shape == (0, encoder.pooled_width)


def test_half_precision(encoder, source):
    with torch.autocast("cpu", torch.bfloat16):
        assert encoder(shown(encoder, source.batch(np.arange(4)))).pooled.isfinite().all()
        hidden = torch.zeros(4, len(source.spec.tokens), dtype=torch.bool)
        hidden[0, :2] = True
        assert encoder(shown(encoder, source.batch(np.arange(4)), hidden)).pooled.isfinite().all()


@pytest.mark.parametrize("name", ENCODERS)
def test_weights_travel(name, source):
    one, two = ENCODERS[name](source.spec).eval(), ENCODERS[name](source.spec).eval()
    batch = source.batch(np.arange(5))
    assert not torch.allclose(one(shown(one, batch)).pooled, two(shown(two, batch)).pooled)
    two.load_state_dict(one.state_dict())
    assert_close(one(shown(one, batch)).pooled, two(shown(two, batch)).pooled)


def test_an_mlp_keeps_its_spread_beside_a_large_mean(source):
    """A layer norm at its end would divide what varies by what does not."""
    encoder = TableMLP(source.spec, width=8, depth=1, column_width=4)
    batch = source.batch(np.arange(60))
    before = encoder(shown(encoder, batch)).pooled.std(0).mean()
    with torch.no_grad():
        encoder.inwards.bias += torch.tensor([100.0, -100] * 4)
    after = encoder(shown(encoder, batch)).pooled.std(0).mean()
    assert after > before / 2


def test_width_and_heads_must_agree(source):
    with pytest.raises(UserError, match="width 10 does not divide by 4 heads"):
        TableTransformer(source.spec, width=10, heads=4)
