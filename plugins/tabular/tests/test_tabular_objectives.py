"""The objectives that know columns: reference values, what they leave out, and that they learn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from manyviews.errors import UserError
from manyviews.mask import Mask
from manyviews.objective import Branch
from manyviews.testing.toy import ToyEncoder, ToySpec
from manyviews.view import View
from manyviews.views.random_mask import RandomMask
from manyviews_tabular.mlp import TableMLP
from manyviews_tabular.source import TableSource
from manyviews_tabular.transformer import TableTransformer
from manyviews_tabular.values import Values
from manyviews_tabular.vime import Vime, VimeCorruption


@pytest.fixture
def source(frame):
    return TableSource(path=frame, target="label")


def branch(encoder, objective) -> Branch:
    torch.manual_seed(1)
    return Branch(encoder, torch.nn.Identity(), objective.predictor(encoder, encoder.pooled_width), "sample")


def step(objective, student, views):
    return objective(views, student, None, torch.Generator().manual_seed(0))


def transformer(source, **parameters):
    torch.manual_seed(0)
    return TableTransformer(source.spec, **({"width": 8, "depth": 1, "heads": 2} | parameters))


def test_values_written_out_longhand(source):
    """Cell by cell: softmax over the column's own classes, squared error for numbers where asked for."""
    encoder = transformer(source, hide="replace").double()
    batch = source.batch(np.arange(6))
    hidden = torch.rand(6, encoder.columns, generator=torch.Generator().manual_seed(2)) < 0.6
    view = View(batch, encoder.layout(batch), Mask(hidden.reshape(1, -1)))
    tokens = encoder(view).tokens.reshape(6, encoder.columns, -1)
    classes = encoder.classes(batch).reshape(6, -1)
    for numbers in ("bins", "mse"):
        objective = Values(numbers=numbers)
        student = branch(encoder, objective).double()
        heads, wanted = student.predictor.heads, []
        for row, column in hidden.nonzero().tolist():
            if classes[row, column] < 0:
                continue
            out = tokens[row, column] @ heads.weight[column] + heads.bias[column]
            if numbers == "mse" and column < len(source.spec.numeric):
                wanted.append((out[-1] - batch.values[row, column]) ** 2)
            else:
                own = out[: encoder.column_classes[column]]
                wanted.append(own.logsumexp(0) - own[classes[row, column]])
        loss = step(objective, student, (view,))
        assert_close(loss.value.double(), torch.stack(wanted).mean(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("hide", ["drop", "replace"])
@pytest.mark.parametrize("per", ["batch", "sample"])
def test_values_through_a_decoder(source, hide, per):
    encoder = transformer(source, hide=hide)
    objective = Values(depth=1, width=8, heads=2)
    student = branch(encoder, objective)
    batch = source.batch(np.arange(6))
    views = RandomMask(share=(0.2, 0.6), per=per)(batch, encoder.layout(batch), torch.Generator().manual_seed(0))
    loss = step(objective, student, views)
    loss.value.backward()
    assert loss.value.isfinite()
    assert encoder.embedding.number_embeddings.grad.abs().sum() > 0


def test_missing_cells_are_not_asked_for(source):
    encoder = transformer(source, hide="replace")
    student = branch(encoder, Values())
    batch = source.batch(np.array([3]))  # its age is missing
    hidden = torch.zeros(1, encoder.columns, dtype=torch.bool)
    hidden[0, 0] = True
    loss = step(Values(), student, (View(batch, encoder.layout(batch), Mask(hidden)),))
    assert_close(loss.value, torch.tensor(0.0))
    loss.value.backward()


def test_depth_zero_needs_tokens_in_place(source):
    encoder = transformer(source)
    batch = source.batch(np.arange(4))
    views = RandomMask()(batch, encoder.layout(batch), torch.Generator())
    with pytest.raises(UserError, match=r"encoder.hide to replace, or objective.depth"):
        step(Values(), branch(encoder, Values()), views)


def test_other_encoders_are_refused():
    for objective in (Values(), Vime()):
        with pytest.raises(UserError, match="needs an encoder of tables"):
            objective.predictor(ToyEncoder(ToySpec(channels=2), width=8), 8)


def test_vime_written_out_longhand(source):
    encoder = transformer(source).double()
    objective = Vime(alpha=3.0)
    student = branch(encoder, objective).double()
    batch = source.batch(np.arange(6))
    (view,) = VimeCorruption()(batch, encoder.layout(batch), torch.Generator().manual_seed(0))
    row = encoder(view).pooled
    mask, logits, numbers = student.predictor(row)
    wanted = F.binary_cross_entropy_with_logits(mask, view.target.changed.double())
    classes, cells = encoder.classes(batch).reshape(6, -1), []
    for i in range(6):
        for column in range(encoder.columns):
            if classes[i, column] < 0:
                continue
            if column < len(source.spec.numeric):
                cells.append((numbers[i, column] - batch.values[i, column]) ** 2)
            else:
                own = logits[i, column, : encoder.column_classes[column]]
                cells.append(own.logsumexp(0) - own[classes[i, column]])
    loss = step(objective, student, (view,))
    assert_close(loss.value.double(), wanted + 3 * torch.stack(cells).mean(), rtol=1e-5, atol=1e-6)
    assert_close(loss.metrics["mask"].double(), wanted, rtol=1e-5, atol=1e-6)


def related(rows: int = 256) -> TableSource:
    """A table whose columns say each other's values."""
    random = np.random.default_rng(0)
    x = random.normal(size=rows)
    return TableSource(path=pd.DataFrame({"x": x, "twice": 2 * x, "sign": np.where(x > 0, "plus", "minus")}))


def small(spec, **parameters):
    return TableTransformer(spec, width=16, depth=1, heads=2, **parameters)


@pytest.mark.parametrize(
    ("make", "views", "objective"),
    [
        (lambda spec: TableTransformer(spec, width=16, depth=1, heads=2, hide="replace"), RandomMask(share=0.34), Values()),
        (
            lambda spec: TableTransformer(spec, width=16, depth=1, heads=2),
            RandomMask(share=0.34),
            Values(depth=1, numbers="mse"),
        ),
        (lambda spec: TableMLP(spec, width=32, depth=1), VimeCorruption(), Vime()),
    ],
    ids=["values", "values_decoder", "vime"],
)
def test_fifty_steps_improve(make, views, objective):
    source = related()
    torch.manual_seed(0)
    encoder = make(source.spec)
    student = branch(encoder, objective)
    optimizer = torch.optim.AdamW(student.parameters(), 5e-3)
    batch, losses = source.batch(np.arange(256)), []
    for seed in range(50):
        generator = torch.Generator().manual_seed(seed)
        loss = objective(views(batch, encoder.layout(batch), generator), student, None, generator).value
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.8 * losses[0]
