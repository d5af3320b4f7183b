"""Batches of samples of unlike size: like with like, and never more than fits.

Where samples differ in size (seconds of sound, nodes of graphs), a batch of a fixed number of them wastes what padding
there is and needs memory for the unluckiest draw. Here an epoch's permutation is cut into windows, each window is
sorted by size, and batches are packed in that order up to a cap; then the batches are shuffled. Sorting alternates in
direction from window to window, so that packing goes on across their borders.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

WINDOW = 64
"""Batches' worth of samples that are sorted together: the wider, the more alike a batch's sizes, and the less random."""


def pack(
    order: Int[np.ndarray, "samples"],
    sizes: Float[np.ndarray, "samples"],
    most: int,
    cap: float,
    rng: np.random.Generator,
    world: int = 1,
) -> list[Int[np.ndarray, "batch"]]:
    """The batches of an epoch, in a random order; no sample stands in two, and none is left out but with several processes.

    Args:
        order: The epoch's permutation of samples.
        sizes: Size of each of these, in the same order; none above `cap`.
        most: Most samples of a batch.
        cap: Most that samples of a batch add up to, were each as large as the largest: padding counts.
        rng: Of the batches' order.
        world: Processes that take turns: so many batches alike in size stay together, or all would wait for the slowest. What
            is left over is left out.
    """
    window = WINDOW * max(int(min(most, cap / sizes.mean())), 1)
    sorted_windows = []
    for number, start in enumerate(range(0, len(order), window)):
        place = start + np.argsort(sizes[start : start + window], kind="stable")
        sorted_windows.append(place[::-1] if number % 2 else place)
    packed = list(_filled(np.concatenate(sorted_windows), sizes, most, cap))
    return [order[packed[turn * world + rank]] for turn in rng.permutation(len(packed) // world) for rank in range(world)]


def _filled(
    places: Int[np.ndarray, "samples"], sizes: Float[np.ndarray, "samples"], most: int, cap: float
) -> Iterator[Int[np.ndarray, "batch"]]:
    start, largest = 0, 0.0
    for end, size in enumerate(sizes[places].tolist()):
        largest = max(largest, size)
        if end > start and (end - start == most or largest * (end - start + 1) > cap):
            yield places[start:end]
            start, largest = end, size
    yield places[start:]
