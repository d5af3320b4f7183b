"""Some of a data set's samples, in ascending order, at a quarter of a byte for each sample there is.

Listed, the training samples of a large data set would take 8 bytes each. Here they are a bit in a row of bits, with a count
at every word of it, so that the n-th is found at once; all of them take nothing.
"""

from __future__ import annotations

from typing import Final, final

import numpy as np
from jaxtyping import Bool, Int, Shaped

STRETCH: Final = 64
"""Samples that share a count."""
_EACH: Final = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)
ONES: Final = _EACH.sum(1, dtype=np.uint8)
"""Bits that are set in each byte."""
NTH: Final = np.argsort(1 - _EACH, axis=1, kind="stable").astype(np.uint8)
"""Where in each byte the n-th of them stands."""


@final
class Subset:
    """Numbers of samples, ascending, asked for by their places: `subset[places]`.

    Args:
        count: Samples of the data set.
        chosen: Which of them; None: all.
    """

    def __init__(self, count: int, chosen: Bool[np.ndarray, "samples"] | None = None) -> None:
        self.count, self._bits = count, None
        self._chosen = count
        if chosen is None or chosen.all():
            return
        self._bits = np.zeros((-(-count // STRETCH), STRETCH // 8), np.uint8)
        packed = np.packbits(chosen)
        self._bits.reshape(-1)[: len(packed)] = packed
        counts = np.add.reduceat(chosen, np.arange(0, count, STRETCH), dtype=np.int64)
        self._before = np.concatenate([[0], counts.cumsum()])
        self._chosen = int(self._before[-1])

    @classmethod
    def listed(cls, numbers: Int[np.ndarray, "chosen"], count: int) -> Subset:
        """These numbers, in any order."""
        chosen = np.zeros(count, bool)
        chosen[numbers] = True
        return cls(count, chosen)

    def __len__(self) -> int:
        return self._chosen

    def __getitem__(self, places: Int[np.ndarray, "places"]) -> Int[np.ndarray, "places"]:
        """The samples at these places, 0 to `len`."""
        if len(places) and not 0 <= places.min() <= places.max() < len(self):
            raise IndexError(f"places {places.min()} to {places.max()} of {len(self)} samples")
        if self._bits is None:
            return places.astype(np.int64)
        stretch = np.searchsorted(self._before, places, side="right") - 1
        wanted, bits = places - self._before[stretch], self._bits[stretch]
        passed = ONES[bits].cumsum(1, dtype=np.uint8)
        byte = (passed <= wanted[:, None]).sum(1)
        each = np.arange(len(places))
        left = wanted - np.where(byte, passed[each, byte - 1], 0)
        found: Int[np.ndarray, "places"] = stretch * STRETCH + byte * 8 + NTH[bits[each, byte], left]
        return found

    def below(self, numbers: Int[np.ndarray, "numbers"]) -> Int[np.ndarray, "numbers"]:
        """How many of the samples are smaller than each of these, which are 0 to `count`."""
        if self._bits is None:
            return numbers.astype(np.int64)
        stretch, within = np.divmod(numbers, STRETCH)
        bits = np.concatenate([self._bits, np.zeros((1, STRETCH // 8), np.uint8)])[stretch]
        ahead = np.arange(STRETCH) < within[:, None]
        smaller: Int[np.ndarray, "numbers"] = self._before[stretch] + (np.unpackbits(bits, axis=1) & ahead).sum(
            1, dtype=np.int64
        )
        return smaller

    def numbers(self) -> Int[np.ndarray, "chosen"]:
        """All of them, listed."""
        return np.flatnonzero(self.mask())

    def mask(self) -> Bool[np.ndarray, "samples"]:
        """Which samples they are."""
        if self._bits is None:
            return np.ones(self.count, bool)
        return np.unpackbits(self._bits.reshape(-1), count=self.count).astype(bool)

    def __and__(self, other: Shaped[np.ndarray, "numbers"]) -> Subset:
        """Those that are listed as well."""
        return Subset.listed(other[self.mask()[other]], self.count)
