"""An order of labelled units of which every beginning holds the classes in proportion."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int


def stratified_order(
    y: Int[np.ndarray, "units"], generator: np.random.Generator, *, each_first: bool
) -> Int[np.ndarray, "units"]:
    """Places in `y`, in a random order that takes from each class in proportion to its size.

    Systematic sampling: the r-th unit of a class of n comes at (r + offset) / n. With `each_first` the offset is 0, so
    that one of each class comes before a second of any; else it is random, and a class of one unit comes anywhere.
    Works for more classes than units taken, where a stratified split in whole numbers cannot be made.
    """
    shuffled = generator.permutation(len(y))
    _, classes, sizes = np.unique(y[shuffled], return_inverse=True, return_counts=True)
    offsets = np.zeros(len(sizes)) if each_first else generator.random(len(sizes))
    rank = np.empty(len(y))
    by_class = np.argsort(classes, kind="stable")
    rank[by_class] = np.arange(len(y)) - np.repeat(sizes.cumsum() - sizes, sizes)
    order: np.ndarray = shuffled[np.argsort((rank + offsets[classes]) / sizes[classes], kind="stable")]
    return order
