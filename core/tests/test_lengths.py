"""Flat and ragged against loops over samples."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from manyviews.lengths import Lengths
from manyviews.mask import Mask


@pytest.mark.parametrize("numbers", [[3, 3, 3], [2, 0, 5, 1], [4]])
def test_owners_places_and_starts(numbers: list[int]) -> None:
    lengths = Lengths.of(numbers)
    assert lengths.owners().tolist() == [s for s, n in enumerate(numbers) for _ in range(n)]
    assert lengths.places().tolist() == [p for n in numbers for p in range(n)]
    assert lengths.starts().tolist() == [sum(numbers[:s]) for s in range(len(numbers))]
    assert (lengths.total, lengths.longest) == (sum(numbers), max(numbers))
    assert lengths.each == (numbers[0] if len(set(numbers)) == 1 else None)


@pytest.mark.parametrize("numbers", [[3, 3, 3], [2, 0, 5, 1]])
def test_pad_and_unpad_are_inverse_and_mean_leaves_padding_out(numbers: list[int]) -> None:
    lengths = Lengths.of(numbers)
    tokens = torch.randn(lengths.total, 2, dtype=torch.float64)
    padded = lengths.pad(tokens)
    assert padded.shape == (len(numbers), max(numbers), 2)
    assert_close(lengths.unpad(padded), tokens)
    parts = tokens.split(numbers)
    for sample, part in enumerate(parts):
        assert_close(padded[sample, : len(part)], part)
        assert not padded[sample, len(part) :].any()
    expected = torch.stack([part.mean(0) if len(part) else torch.zeros(2, dtype=torch.float64) for part in parts])
    assert_close(lengths.mean(tokens), expected)


def test_equal_lengths_are_padded_without_a_copy() -> None:
    tokens = torch.randn(6, 2)
    assert Lengths.equal(2, 3).pad(tokens).data_ptr() == tokens.data_ptr()


@pytest.mark.parametrize("known", [True, False])
def test_mask_index_lengths_and_complement(known: bool) -> None:
    lengths = Lengths.equal(2, 3)
    where = torch.tensor([[1, 0, 1, 0, 1, 1], [1, 1, 0, 1, 1, 0]]).bool()
    mask = Mask(where, 2 if known else None)
    assert mask.index(lengths).tolist() == [0, 2, 4, 5, 6, 7, 9, 10]
    assert mask.lengths(lengths).tensor.tolist() == [2, 2, 2, 2]
    assert mask.complement(lengths).index(lengths).tolist() == [1, 3, 8, 11]
    assert mask.complement(lengths).each == (1 if known else None)
    assert mask.any().where.tolist() == [[True, True, True, True, True, True]]


@pytest.mark.parametrize("lengths", [Lengths.of([3, 0, 7]), Lengths.equal(3, 4), Lengths(torch.tensor([3, 0, 7]), 10, 7, None)])
def test_lengths_are_changed_on_the_host(lengths: Lengths) -> None:
    halves = lengths.map(lambda length: (length + 1) // 2)
    assert halves.tensor.tolist() == [(length + 1) // 2 for length in lengths.tensor.tolist()] == halves.on_host()
    assert halves.total == sum(halves.on_host())
    assert halves.longest == max(halves.on_host())


def test_the_same_on_the_host_where_it_is_known_there() -> None:
    ragged = Lengths.of([3, 1])
    assert ragged.host() is ragged
    there = Lengths(torch.empty(2, dtype=torch.long, device="meta"), 4, 3, None, (3, 1))
    here = there.host()
    assert here is not None
    assert here.tensor.tolist() == [3, 1]
    assert Lengths(there.tensor, 4, 3, None).host() is None
    equal = Lengths.equal(2, 5, torch.device("meta")).host()
    assert equal is not None
    assert equal.tensor.tolist() == [5, 5]
