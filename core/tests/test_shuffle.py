"""Orders that are computed: bijections, as random as drawn ones, and the same from any place; and sets of samples as bits."""

from __future__ import annotations

import itertools
import math
import tracemalloc

import numpy as np
import pytest

from manyviews import shuffle
from manyviews.engine.loader import Order
from manyviews.shuffle import BlockwisePermutation, Permutation, blocks_of
from manyviews.source import Source
from manyviews.splits import draw_codes, draw_splits
from manyviews.subset import STRETCH, Subset


def rng(*seeds: int) -> np.random.Generator:
    return np.random.default_rng(seeds)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No order is drawn, however short."""
    monkeypatch.setattr(shuffle, "DRAWN", 0)


@pytest.mark.parametrize("count", [*range(1, 40), 63, 64, 65, 1000, 4097, 65_536, 65_537, 131_071, 131_072, 262_145])
@pytest.mark.usefixtures("computed")
def test_every_number_comes_once(count: int) -> None:
    order = Permutation(count, rng(count))[np.arange(count)]
    assert np.array_equal(np.sort(order), np.arange(count))


def test_short_orders_are_those_that_numpy_draws() -> None:
    assert np.array_equal(Permutation(1000, rng(1, 2))[np.arange(1000)], rng(1, 2).permutation(1000))


def test_orders_of_very_many_are_asked_for_where_they_are_wanted() -> None:
    order = Permutation(10**15 + 7, rng(0))
    places = np.array([0, 1, 10**15, 123_456_789])
    assert len(set(order[places].tolist())) == 4
    assert np.array_equal(order[places][::-1], order[places[::-1]])
    assert ((order[places] >= 0) & (order[places] < len(order))).all()


def chi_square(counts: np.ndarray) -> float:
    """In deviations of its distribution from its mean: some 4 of a million are above 5."""
    expected = counts.sum() / counts.size
    free = counts.size - 1
    return float(((counts - expected) ** 2 / expected).sum() - free) / math.sqrt(2 * free)


@pytest.mark.parametrize("count", [65_537, 100_000, 131_072, 1_000_003])
def test_places_say_nothing_of_numbers(count: int) -> None:
    order = Permutation(count, rng(7))[np.arange(count)]
    cells = np.zeros((32, 32))
    np.add.at(cells, (np.arange(count) * 32 // count, order * 32 // count), 1)
    assert abs(chi_square(cells)) < 5


@pytest.mark.parametrize("count", [65_537, 131_072])
def test_neighbours_do_not_stay_neighbours(count: int) -> None:
    order = Permutation(count, rng(3))[np.arange(count)]
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 5 / math.sqrt(count)
    steps = np.diff(order) % count
    assert abs(chi_square(np.bincount(steps * 64 // count, minlength=64))) < 5
    bits = order & 1
    assert abs((bits[:-1] == bits[1:]).mean() - 0.5) < 5 * 0.5 / math.sqrt(count)


def test_seeds_give_orders_that_have_nothing_in_common() -> None:
    count = 70_000
    orders = [Permutation(count, rng(seed, epoch))[np.arange(count)] for seed, epoch in ((0, 0), (0, 1), (1, 0), (1, 1))]
    for one, two in itertools.combinations(orders, 2):
        assert (one == two).sum() < 12  # one fixed point is expected, as of any two orders
        assert abs(np.corrcoef(one, two)[0, 1]) < 5 / math.sqrt(count)


def test_where_a_number_comes_to_stand_is_uniform_over_seeds() -> None:
    count, place = 66_000, np.array([0, 17, 65_999])
    numbers = np.array([Permutation(count, rng(seed))[place] for seed in range(4000)])
    for column in numbers.T:
        assert abs(chi_square(np.bincount(column * 20 // count, minlength=20))) < 5


@pytest.mark.usefixtures("computed")
def test_short_computed_orders_are_all_possible() -> None:
    """Of four numbers there are 24 orders; no network of two bits makes them equally often, hence `DRAWN`."""
    found = {tuple(Permutation(4, rng(seed))[np.arange(4)].tolist()) for seed in range(2000)}
    assert len(found) == 24


@pytest.mark.parametrize("window", [1, 3, 50])
def test_blockwise_orders_hold_all_samples_and_read_windows_of_blocks(window: int) -> None:
    blocks = np.array([5, 0, 11, 3, 8, 8, 1, 20, 0, 2])
    order = BlockwisePermutation(blocks, window, [1, 2])
    found = order[np.arange(len(order))]
    assert np.array_equal(np.sort(found), np.arange(58))
    assert np.array_equal(order[np.array([40, 3, 17])], found[[40, 3, 17]])
    block_of = np.repeat(np.arange(10), blocks)[found]
    spans = [np.flatnonzero(block_of == block) for block in np.unique(block_of)]
    reads = sum(len(set(block_of[: span[-1] + 1]) - set(block_of[: span[0]])) > window for span in spans if len(span))
    assert reads == 0


def test_processes_and_resumed_runs_see_one_order_of_computed_samples() -> None:
    mask = rng(0).random(200_000) < 0.7
    for samples, blocks in ((Subset(200_000), None), (Subset(200_000, mask), None), (Subset(200_000, mask), [2000] * 100)):
        alone = Order(samples, 60, seed=4, blocks=blocks)
        whole = np.stack(list(alone.batches(0, alone.per_epoch + 3)))
        epoch = whole[: alone.per_epoch].ravel()
        assert len(np.unique(epoch)) == len(epoch) == alone.per_epoch * 60
        assert mask[epoch].all() or len(samples) == 200_000
        for world in (2, 3):
            shares = [
                np.stack(list(Order(samples, 60 // world, 4, rank, world, blocks).batches(100, alone.per_epoch + 3)))
                for rank in range(world)
            ]
            assert np.array_equal(np.stack(shares, 2).reshape(-1, 60), whole[100:])


def test_an_order_of_ten_million_takes_less_than_a_megabyte() -> None:
    tracemalloc.start()
    order = Order(Subset(10**7), 256, seed=0)
    for _ in order.batches(10_000, 10_100):
        pass
    held, _ = tracemalloc.get_traced_memory()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 10**6
    assert peak < 4 * 10**6  # words of 64 bits of a stretch of places, a few times


SIZES = (1, STRETCH - 1, STRETCH, STRETCH + 1, 1000)


@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 0.97, 1.0])
def test_a_subset_is_its_numbers(count: int, share: float) -> None:
    mask = rng(count).random(count) < share
    subset, numbers = Subset(count, mask), np.flatnonzero(mask)
    assert len(subset) == len(numbers)
    assert np.array_equal(subset.numbers(), numbers)
    assert np.array_equal(subset.mask(), mask)
    assert np.array_equal(subset[np.arange(len(numbers))], numbers)
    assert np.array_equal(subset[np.arange(len(numbers))[::-2]], numbers[::-2])
    edges = np.arange(count + 1)
    assert np.array_equal(subset.below(edges), np.searchsorted(numbers, edges))
    listed = Subset.listed(rng(1).permutation(numbers), count)
    assert np.array_equal(listed.numbers(), numbers)
    assert np.array_equal((subset & np.arange(0, count, 2)).numbers(), numbers[numbers % 2 == 0])


def test_a_place_that_a_subset_has_not_is_an_error() -> None:
    subset = Subset(10, np.arange(10) < 4)
    for place in (-1, 4):
        with pytest.raises(IndexError, match=f"places {place} to {place} of 4 samples"):
            subset[np.array([place])]


def test_samples_in_blocks() -> None:
    blocks, mask = np.array([3, 0, 5]), np.array([1, 0, 1, 0, 0, 1, 1, 1], bool)
    assert blocks_of(Subset(8, mask), blocks).tolist() == blocks_of(np.flatnonzero(mask), blocks).tolist() == [2, 0, 3]


def test_splits_are_drawn_alike_as_text_and_as_codes() -> None:
    splits = np.where(rng(0).random(500) < 0.1, "test", "train")
    strata, shares = rng(1).integers(0, 3, 500), {"valid": 0.2, "test": 0.1}
    for groups in (None, rng(2).integers(0, 40, 500)):
        text = draw_splits(splits, shares, strata, groups, 5)
        codes = draw_codes(splits == "train", shares, strata, groups, 5)
        assert np.array_equal(text, np.where(splits == "train", np.array(["train", "valid", "test"])[codes], splits))
        assert (text[splits == "test"] == "test").all()
        assert abs((text == "valid").mean() - 0.2 * (splits == "train").mean()) < 0.03


def test_the_default_subset_of_a_source_is_its_split() -> None:
    class Ten(Source):
        def __len__(self) -> int:
            return 10

        def splits(self) -> np.ndarray:
            return np.array(["train", "test"] * 5)

        batch = fingerprint = None  # type: ignore[assignment]

    Ten.__abstractmethods__ = frozenset()
    assert Ten().subset("test").numbers().tolist() == [1, 3, 5, 7, 9]


def test_a_group_that_is_larger_than_its_share_takes_of_what_comes_after() -> None:
    """Blocks of ground of a small scene: with one for validation nearly nothing is left to test on, and nothing crashes."""
    groups = np.repeat([0, 1], [60, 60])
    for seed in range(4):
        found = draw_splits(np.full(120, "train"), {"valid": 0.2, "test": 0.6}, np.zeros(120, np.int64), groups, seed)
        assert sorted(np.unique(found)) == ["test", "valid"]
        assert all(len(np.unique(found[groups == group])) == 1 for group in (0, 1))
