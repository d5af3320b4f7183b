"""Random orders that need not be held in memory: what stands at a place is computed when it is asked for.

An order of n samples that is drawn takes 8 n bytes. Here it takes some kilobytes however large n is: a Feistel network,
keyed by a generator, is a bijection of the numbers of so many bits (Luby & Rackoff 1988); what it gives beyond n is put
in again until it falls below, which makes it one of the first n (cycle walking: Black & Rogaway 2002, method 2). So any
place can be asked for at any time, in any process.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from jaxtyping import Int, Shaped

from manyviews.subset import Subset

DRAWN = 1 << 16
"""Up to so many are drawn, half a megabyte at most: all orders are then equally likely, as no network of few bits has it."""
ROUNDS = 8
AT_ONCE = 1 << 14
"""Places that are worth computing together: a call costs as much as some thousand of them."""

Places = Int[np.ndarray, "places"]
Words = Shaped[np.ndarray, "words"]
"""Unsigned, of 64 bits."""


class Permutation:
    """A random order of the numbers 0 to `count`, asked for at places.

    Args:
        count: How many.
        generator: Which order.
    """

    def __init__(self, count: int, generator: np.random.Generator) -> None:
        self.count = count
        self._drawn = generator.permutation(count) if count <= DRAWN else None
        bits = max(count - 1, 1).bit_length()
        self._right, left = bits // 2, bits - bits // 2
        self._masks = np.uint64((1 << left) - 1), np.uint64((1 << self._right) - 1)
        self._keys = generator.integers(0, 1 << 64, ROUNDS, np.uint64) if self._drawn is None else None

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, places: Places) -> Places:
        """The numbers at these places."""
        if self._drawn is not None:
            drawn: Places = self._drawn[places]
            return drawn
        found = self._network(places.astype(np.uint64))
        beyond = np.flatnonzero(found >= self.count)
        while len(beyond):
            found[beyond] = self._network(found[beyond])
            beyond = beyond[found[beyond] >= self.count]
        return found.astype(np.int64)

    def _network(self, numbers: Words) -> Words:
        """Each half in turn is changed by what the other one is, which can be undone: a bijection, whatever `_mixed` is."""
        assert self._keys is not None
        shift = np.uint64(self._right)
        halves = [numbers >> shift, numbers & self._masks[1]]
        for number, key in enumerate(self._keys):
            one = number % 2
            halves[one] ^= _mixed(halves[1 - one] + key) & self._masks[one]
        joined: Words = halves[0] << shift | halves[1]
        return joined


def _mixed(words: Words) -> Words:
    """Every bit of a word in every bit of the answer (the finaliser of SplitMix64: Steele, Lea & Flood 2014). Wraps around."""
    words = (words ^ words >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ words >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    words ^= words >> np.uint64(31)
    return words


class BlockwisePermutation:
    """A random order in which samples that are stored together stay near one another, so that each block is read once.

    Blocks are shuffled, and their samples among `window` blocks at a time.

    Args:
        blocks: Samples of each block.
        window: Blocks.
        seeds: Which order.
    """

    def __init__(self, blocks: Int[np.ndarray, "blocks"], window: int, seeds: list[int]) -> None:
        self.window, self._seeds = window, seeds
        self._order = Permutation(len(blocks), np.random.default_rng(seeds))[np.arange(len(blocks))]
        self._starts = np.cumsum([0, *blocks])[self._order]
        """First sample of each block, in their new order."""
        self._ends = np.cumsum(blocks[self._order])
        self._borders = np.append(self._ends[window - 1 :: window], self._ends[-1:])
        self._within = lru_cache(2)(self._permutation)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def _first(self, window: int) -> int:
        return int(self._borders[window - 1]) if window else 0

    def _permutation(self, window: int) -> Permutation:
        """Of the samples of a window. The seeds end in no zero, which would be as good as none."""
        count = int(self._borders[window]) - self._first(window)
        return Permutation(count, np.random.default_rng([*self._seeds, window + 2]))

    def __getitem__(self, places: Places) -> Places:
        """The samples at these places."""
        windows = np.searchsorted(self._borders, places, side="right")
        found = np.empty_like(places)
        for window in np.unique(windows).tolist():
            here, first = windows == window, self._first(window)
            found[here] = first + self._within(window)[places[here] - first]
        block = np.searchsorted(self._ends, found, side="right")
        answer: Places = self._starts[block] + found - np.where(block, self._ends[block - 1], 0)
        return answer


def blocks_of(samples: Int[np.ndarray, "samples"] | Subset, blocks: Int[np.ndarray, "blocks"]) -> Int[np.ndarray, "blocks"]:
    """How many of the samples, which ascend, lie in each of the stored blocks."""
    edges = np.cumsum([0, *blocks])
    return np.diff(samples.below(edges) if isinstance(samples, Subset) else np.searchsorted(samples, edges))
