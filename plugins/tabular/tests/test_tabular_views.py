"""SCARF's and VIME's corruptions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from manyviews_tabular.batch import TableBatch
from manyviews_tabular.mixed import mix
from manyviews_tabular.scarf import Scarf
from manyviews_tabular.source import TableSource
from manyviews_tabular.transformer import TableTransformer
from manyviews_tabular.vime import Corruption, VimeCorruption, changed


@pytest.fixture
def batch(frame):
    source = TableSource(path=frame, target="label")
    return source.batch(np.arange(60))


@pytest.fixture
def layout(frame, batch):
    return TableTransformer(TableSource(path=frame, target="label").spec, width=8, heads=2).layout(batch)


def make(views, batch, layout, seed=0):
    return views(batch, layout, torch.Generator().manual_seed(seed))


def test_scarf_keeps_the_row_beside_its_corruption(batch, layout):
    one, two = make(Scarf(corruption=0.5), batch, layout)
    assert one.batch is batch
    columns = batch.values.shape[1] + batch.codes.shape[1]
    cells = changed(batch, two.batch).sum(1)
    assert cells.max() <= round(0.5 * columns)
    assert cells.float().mean() > 0.25 * columns  # cells that drew their own value look unchanged
    both = make(Scarf(both=True), batch, layout)
    assert all(changed(batch, view.batch).any() for view in both)


def test_drawn_cells_come_from_their_own_column(batch, layout):
    _, two = make(Scarf(corruption=1.0), batch, layout)
    for column in range(batch.values.shape[1]):
        kept = set(zip(batch.values[:, column].tolist(), batch.missing[:, column].tolist(), strict=True))
        assert set(zip(two.batch.values[:, column].tolist(), two.batch.missing[:, column].tolist(), strict=True)) <= kept
    for column in range(batch.codes.shape[1]):
        assert set(two.batch.codes[:, column].tolist()) <= set(batch.codes[:, column].tolist())


def test_vime_says_what_it_changed(batch, layout):
    (view,) = make(VimeCorruption(corruption=0.3), batch, layout)
    assert isinstance(view.target, Corruption)
    assert view.target.original is batch
    assert_close(view.target.changed, changed(batch, view.batch))
    assert 0.15 < view.target.changed.float().mean() <= 0.33


def test_views_repeat_under_a_seed(batch, layout):
    for views in (Scarf(), VimeCorruption()):
        one, two, three = (make(views, batch, layout, seed)[-1].batch for seed in (0, 0, 1))
        assert not changed(one, two).any()
        assert changed(one, three).any()


def test_a_single_row(frame, layout):
    batch = TableSource(path=frame, target="label").batch(np.arange(1))
    for views in (Scarf(), VimeCorruption()):
        assert not changed(batch, make(views, batch, layout)[-1].batch).any()


def test_mixture_interpolates_numbers_and_takes_each_category_from_one_of_both() -> None:
    rows = 400
    generator = torch.Generator().manual_seed(0)
    one = TableBatch(torch.zeros(rows, 2), torch.zeros(rows, 2).bool(), torch.full((rows, 3), 5))
    two = TableBatch(torch.ones(rows, 2), torch.zeros(rows, 2).bool(), torch.full((rows, 3), 7))
    two.missing[:, 1] = True
    share, partner = torch.rand(rows, generator=generator), torch.randperm(rows, generator=generator)
    mixed = mix(one, two, share, partner, generator)
    assert_close(mixed.values[:, 0], 1 - share)
    taken = mixed.codes == 5
    assert (taken | (mixed.codes == 7)).all()
    assert_close(taken.float().mean(), share.mean(), atol=0.05, rtol=0)
    assert_close((~mixed.missing[:, 1]).float().mean(), share.mean(), atol=0.08, rtol=0)
    assert not mixed.missing[:, 0].any()
