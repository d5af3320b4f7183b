"""How alike two samples are, by four measures of redundancy. Each is a distance: 0 for equal ones.

Pictures are a domain's `Source.sketches`: small, of one size, and alike where samples are. The first three read pictures, the
last one vectors: an encoder's embeddings, or the source's features.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import pairwise
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float, Int

from manyviews.errors import UserError

BLOCK = 8
"""Side of the windows of structural similarity."""
BINS = 16
"""Levels of brightness of mutual information."""


class Measure(ABC):
    """Distances from one sample to many."""

    threshold: ClassVar[float]
    """Up to which two samples are called redundant where none is given."""
    pictures: ClassVar[bool] = True

    @abstractmethod
    def __init__(self, sketches: Float[np.ndarray, "samples *shape"]) -> None:
        """Whatever is the same for every comparison."""

    @abstractmethod
    def distances(self, one: int, many: Int[np.ndarray, "many"]) -> Float[np.ndarray, "many"]:
        """From sample `one` to each of `many`."""


class DifferenceHash(Measure):
    """dHash (Krawetz 2013): does brightness rise from left to right, on 9 x 8 means? The number of 64 answers that differ."""

    threshold = 6.0

    def __init__(self, sketches: Float[np.ndarray, "samples rows columns"]) -> None:
        small = shrunk(sketches, 8, 9)
        self.bits: Bool[np.ndarray, "samples bits"] = (small[:, :, 1:] > small[:, :, :-1]).reshape(len(small), -1)

    def distances(self, one: int, many: Int[np.ndarray, "many"]) -> Float[np.ndarray, "many"]:
        differ: np.ndarray = (self.bits[many] != self.bits[one]).sum(1)
        return differ.astype(np.float64)


class Structure(Measure):
    """1 - SSIM (Wang et al. 2004, equation 13) over windows of 8 x 8 side by side, pictures brought to 0 to 1."""

    threshold = 0.1

    def __init__(self, sketches: Float[np.ndarray, "samples rows columns"]) -> None:
        rows, columns = (size // BLOCK * BLOCK for size in sketches.shape[1:])
        if not rows or not columns:
            raise UserError(f"structure needs pictures of {BLOCK} x {BLOCK} or more, not of {sketches.shape[1:]}; use dhash")
        blocks = scaled(sketches)[:, :rows, :columns].reshape(-1, rows // BLOCK, BLOCK, columns // BLOCK, BLOCK)
        windows = blocks.transpose(0, 1, 3, 2, 4).reshape(len(sketches), -1, BLOCK * BLOCK)
        self.mean = windows.mean(-1)
        self.centred = windows - self.mean[..., None]
        self.variance = np.square(self.centred).mean(-1)

    def distances(self, one: int, many: Int[np.ndarray, "many"]) -> Float[np.ndarray, "many"]:
        c1, c2 = 0.01**2, 0.03**2
        together = np.einsum("mwp,wp->mw", self.centred[many], self.centred[one]) / self.centred.shape[-1]
        brightness = (2 * self.mean[many] * self.mean[one] + c1) / (self.mean[many] ** 2 + self.mean[one] ** 2 + c1)
        contrast = (2 * together + c2) / (self.variance[many] + self.variance[one] + c2)
        return 1 - (brightness * contrast).mean(1)  # type: ignore[no-any-return]


class Information(Measure):
    """1 - I(x; y) / max(H(x), H(y)) of brightness in 16 levels: alike whatever the contrast, as across scanners."""

    threshold = 0.4

    def __init__(self, sketches: Float[np.ndarray, "samples rows columns"]) -> None:
        flat = scaled(sketches).reshape(len(sketches), -1)
        self.levels = np.minimum((flat * BINS).astype(np.int64), BINS - 1)
        counts = np.stack([np.bincount(levels, minlength=BINS) for levels in self.levels])
        self.entropy = entropy(counts / flat.shape[1])

    def distances(self, one: int, many: Int[np.ndarray, "many"]) -> Float[np.ndarray, "many"]:
        pairs = self.levels[many] * BINS + self.levels[one]
        pairs = pairs + BINS**2 * np.arange(len(many))[:, None]
        joint = np.bincount(pairs.ravel(), minlength=len(many) * BINS**2).reshape(len(many), -1) / pairs.shape[1]
        shared = self.entropy[many] + self.entropy[one] - entropy(joint)
        most = np.maximum(self.entropy[many], self.entropy[one])
        return 1 - np.divide(shared, most, out=np.ones_like(shared), where=most > 1e-12)  # type: ignore[no-any-return]


class Embedding(Measure):
    """1 - cosine of two vectors."""

    threshold = 0.02
    pictures = False

    def __init__(self, sketches: Float[np.ndarray, "samples width"]) -> None:
        flat = sketches.reshape(len(sketches), -1).astype(np.float64)
        flat = flat - flat.mean(0)  # what all have in common tells no two apart
        self.unit = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)

    def distances(self, one: int, many: Int[np.ndarray, "many"]) -> Float[np.ndarray, "many"]:
        return 1 - self.unit[many] @ self.unit[one]  # type: ignore[no-any-return]


MEASURES: dict[str, type[Measure]] = {
    "dhash": DifferenceHash, "structure": Structure, "information": Information, "embedding": Embedding
}  # fmt: skip


def shrunk(pictures: Float[np.ndarray, "samples rows columns"], rows: int, columns: int) -> Float[np.ndarray, "samples _ _"]:
    """Means over a grid of so many cells; cells of fewer than a pixel repeat it."""
    for axis, count in ((1, rows), (2, columns)):
        size = pictures.shape[axis]
        edges = np.arange(count + 1) * size / count
        cells = [range(int(low), max(int(np.ceil(high)), int(low) + 1)) for low, high in pairwise(edges.tolist())]
        parts = [pictures.take(cell, axis).mean(axis) for cell in cells]
        pictures = np.stack(parts, axis)
    return pictures


def scaled(pictures: Float[np.ndarray, "samples rows columns"]) -> Float[np.ndarray, "samples rows columns"]:
    """Each from 0 to 1."""
    low, high = (edge(pictures, axis=(1, 2), keepdims=True).astype(np.float64) for edge in (np.min, np.max))
    return (pictures - low) / np.maximum(high - low, 1e-12)  # type: ignore[no-any-return]


def entropy(shares: Float[np.ndarray, "rows levels"]) -> Float[np.ndarray, "rows"]:
    """-Σ p log p of each row."""
    return -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(1)  # type: ignore[no-any-return]
