"""How good a despeckled image is, with a clean one beside it and without."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

Image = Float[np.ndarray, "rows cols"]


def psnr(amplitude: Image, clean: Image) -> float:
    """Peak signal-to-noise ratio in dB of the pixels that neither lacks (NaN); the peak is the 99% quantile of the clean
    amplitude."""
    return float(10 * np.log10(np.nanquantile(clean, 0.99) ** 2 / np.nanmean((amplitude - clean) ** 2)))


def ssim(amplitude: Image, clean: Image) -> float:
    """Structural similarity (Wang et al. 2004), Gaussian windows of 1.5 pixels, range up to the clean 99% quantile; the mean of
    the windows in which nothing is lacking (NaN)."""
    top = float(np.nanquantile(clean, 0.99))
    one, two = amplitude.astype(np.float64), clean.astype(np.float64)
    mean1, mean2 = _blurred(one), _blurred(two)
    var1, var2 = _blurred(one**2) - mean1**2, _blurred(two**2) - mean2**2
    both = _blurred(one * two) - mean1 * mean2
    small, smaller = (0.01 * top) ** 2, (0.03 * top) ** 2
    return float(
        np.nanmean(
            (2 * mean1 * mean2 + small) * (2 * both + smaller) / ((mean1**2 + mean2**2 + small) * (var1 + var2 + smaller))
        )
    )


def _blurred(image: Image, deviation: float = 1.5) -> Image:
    reach = round(3.5 * deviation)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    weights /= weights.sum()
    padded = np.pad(image, reach, mode="symmetric")
    rows = np.lib.stride_tricks.sliding_window_view(padded, len(weights), 0) @ weights
    blurred: Image = np.lib.stride_tricks.sliding_window_view(rows, len(weights), 1) @ weights
    return blurred


def enl(intensity: Image) -> float:
    """Equivalent number of looks of a homogeneous area: mean^2 / variance of its intensity. 1 for a single look."""
    return float(intensity.mean() ** 2 / intensity.var())


def ratio_mean(noisy: Image, clean: Image) -> float:
    """Mean of the ratio of intensities: 1 where nothing but speckle was taken away."""
    return float(np.mean(noisy / clean))
