"""Rows of features, dense and sparse alike."""

from __future__ import annotations

import pytest
import torch

from manyviews_graphs import features
from manyviews_graphs.features import dense_rows, row_normalise, take_rows


@pytest.fixture
def x() -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(7, 5, generator=draw).abs() * (torch.rand(7, 5, generator=draw) < 0.5)
    x[3] = 0
    return x


INDEX = torch.tensor([6, 3, 0, 6, 2])


def test_rows_are_taken_in_the_layout_that_they_have(x: torch.Tensor) -> None:
    assert torch.equal(take_rows(x, INDEX), x[INDEX])
    taken = take_rows(x.to_sparse_csr(), INDEX)
    assert taken.layout == torch.sparse_csr
    assert torch.equal(taken.to_dense(), x[INDEX])


@pytest.mark.parametrize("way", [dense_rows, features._gathered, features._scattered])
def test_sparse_rows_made_dense(x: torch.Tensor, way) -> None:
    sparse = x.to_sparse_csr()
    assert torch.equal(way(sparse, INDEX), x[INDEX])
    assert way(sparse, INDEX[:0]).shape == (0, 5)


def test_dense_rows(x: torch.Tensor) -> None:
    assert torch.equal(dense_rows(x, INDEX), x[INDEX])


def test_rows_add_up_to_one_unless_they_are_empty(x: torch.Tensor) -> None:
    wanted = x / x.sum(1, keepdim=True).clamp(min=1e-30)
    torch.testing.assert_close(row_normalise(x), wanted)
    torch.testing.assert_close(row_normalise(x.to_sparse_csr()).to_dense(), wanted)
    assert row_normalise(x)[3].eq(0).all()


def test_rows_with_negative_sums_are_divided_too() -> None:
    x = torch.tensor([[-1.0, -3.0], [2.0, -2.0]])
    torch.testing.assert_close(row_normalise(x), torch.tensor([[0.25, 0.75], [2.0, -2.0]]))
