"""What despeckling did to a scene: of every scene its ratio image and its looks, PSNR and SSIM where a clean one is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from manyviews_satellite.radar.measures import enl, psnr, ssim

SQUARE = 24
"""Rows and columns of the area whose looks are counted."""


@dataclass
class Judge:
    """Takes windows of one polarisation one by one; nothing but sums and the most homogeneous square is kept."""

    count: int = 0
    first: float = 0.0
    second: float = 0.0
    looks: tuple[float, float] = (0.0, 0.0)
    """Of the square that varies least after despeckling, before and after."""

    def take(self, before: Float[np.ndarray, "rows cols"], after: Float[np.ndarray, "rows cols"]) -> None:
        """A window's intensity, single-look and despeckled; NaN where nothing was seen."""
        seen = np.isfinite(after) & (after > 0)
        ratio = before[seen] / after[seen]
        self.count += ratio.size
        self.first += float(ratio.sum(dtype=np.float64))
        self.second += float(np.square(ratio, dtype=np.float64).sum())
        for row in range(0, before.shape[0] - SQUARE + 1, SQUARE // 2):
            for col in range(0, before.shape[1] - SQUARE + 1, SQUARE // 2):
                place = slice(row, row + SQUARE), slice(col, col + SQUARE)
                if seen[place].all() and (found := enl(after[place])) > self.looks[1]:
                    self.looks = enl(before[place]), found

    def told(self) -> dict[str, float]:
        """Mean and variance of the ratio image (1 and 1 where speckle alone was taken away), looks before and after."""
        mean = self.first / max(self.count, 1)
        return {
            "ratio_mean": mean,
            "ratio_variance": self.second / max(self.count, 1) - mean**2,
            "enl_before": self.looks[0],
            "enl_after": self.looks[1],
        }


def beside_clean(
    before: Float[np.ndarray, "rows cols"], after: Float[np.ndarray, "rows cols"], clean: Float[np.ndarray, "rows cols"]
) -> dict[str, float]:
    """PSNR and SSIM of amplitudes, before and after."""
    told = {"before": before, "after": after}
    return {
        f"{name}_{when}": measure(image, clean)
        for name, measure in (("psnr", psnr), ("ssim", ssim))
        for when, image in told.items()
    }
