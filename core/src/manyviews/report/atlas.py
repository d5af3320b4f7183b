"""The map: embeddings laid out on a page by t-SNE (van der Maaten & Hinton 2008), scikit-learn's, from their two main axes."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
from jaxtyping import Float

from manyviews.look.style import SERIES
from manyviews.report.embedded import Embeddings, Known

FEWEST = 8
"""Units below which the two main axes are the map."""
ROUNDING = 1e-6
"""Of the largest number: what single precision leaves of a constant."""
SIDE = 420.0
"""Of the map, in pixels."""
NEAREST = 30.0
"""Perplexity: about so many neighbours does a unit try to keep near."""


def layout(x: Float[np.ndarray, "units width"], seed: int) -> Float[np.ndarray, "units two"]:
    """Places on the map, each axis from 0 to 1. Equal seeds give equal maps; a collapsed embedding is one dot."""
    centred = x.astype(np.float64) - x.mean(0, dtype=np.float64)
    axes = _main_axes(centred, float(np.abs(x).max(initial=0)))
    if len(x) < FEWEST or axes is None:
        return np.full((len(x), 2), 0.5) if axes is None else _within(axes)
    from sklearn.manifold import TSNE

    scaled = (centred / np.abs(centred).max()).astype(np.float32)
    start = (1e-4 * axes / axes[:, 0].std()).astype(np.float32)
    tsne = TSNE(perplexity=min(NEAREST, (len(x) - 1) / 3), init=start, random_state=seed, max_iter=500, n_jobs=1)
    return _within(tsne.fit_transform(scaled).astype(np.float64))


def _main_axes(centred: Float[np.ndarray, "units width"], largest: float) -> Float[np.ndarray, "units two"] | None:
    """The two main components; None where nothing but rounding varies. (scikit-learn's own start divides by zero there, and
    its tree never ends on the NaN.)"""
    u, values, _ = np.linalg.svd(centred, full_matrices=False)
    if not len(values) or values[0] <= ROUNDING * largest * np.sqrt(centred.size):
        return None
    axes = np.zeros((len(centred), 2))
    kept = min(2, len(values))
    axes[:, :kept] = u[:, :kept] * values[:kept]
    return axes


def _within(places: Float[np.ndarray, "units two"]) -> Float[np.ndarray, "units two"]:
    low, high = places.min(0), places.max(0)
    return np.where(high > low, (places - low) / np.where(high > low, high - low, 1), 0.5)


def draw_map(found: Embeddings, captions: Sequence[str], seed: int) -> str:
    """An `<svg>` of a dot for each unit, its caption shown where the pointer rests."""
    places = layout(found.x, seed) * (SIDE - 20) + 10
    colours = colour(found.known, len(found.units))
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" {_ink(found.known, place, shade)}><title>{escape(text)}</title></circle>'
        for place, ((x, y), shade, text) in enumerate(zip(places.tolist(), colours, captions, strict=True))
    )
    return f'<svg class="map" viewBox="0 0 {SIDE:.0f} {SIDE:.0f}" role="img" aria-label="map of embeddings">{dots}</svg>'


def _ink(known: Known | None, place: int, shade: str) -> str:
    """A disc, or a ring for the classes that come after those that colours tell apart."""
    if known is not None and known.classes and is_ring(int(known.values[place])):
        return f'r="2.6" fill="none" stroke="{shade}" stroke-width="1.6"'
    return f'r="3.2" fill="{shade}"'


def is_ring(value: int) -> bool:
    """Whether a class is one of the second ten (of the fourth, …)."""
    return value >= 0 and value // len(SERIES) % 2 == 1


def colour(known: Known | None, units: int) -> list[str]:
    """The colour of each unit."""
    if known is None:
        return [SERIES[0]] * units
    if known.classes:
        return [SERIES[int(value) % len(SERIES)] if value >= 0 else "var(--faint)" for value in known.values]
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    values = known.values.astype(np.float64)
    low, high = np.nanquantile(values, [0.02, 0.98]) if np.isfinite(values).any() else (0.0, 1.0)
    shares = np.clip((values - low) / max(high - low, np.finfo(np.float64).tiny), 0, 1)
    return ["var(--faint)" if np.isnan(share) else to_hex(colormaps["viridis"](float(share))) for share in shares]


def _key(place: int) -> str:
    shade = SERIES[place % len(SERIES)]
    return f"border-color:{shade};background:{'none' if is_ring(place) else shade}"


def legend(known: Known | None) -> str:
    """What the colours mean."""
    if known is None:
        return "Nothing is known of these units that could colour them."
    if not known.classes:
        values = known.values[np.isfinite(known.values)]
        span = f": {values.min():.4g} (violet) to {values.max():.4g} (yellow)" if len(values) else ""
        return f"Coloured by <b>{escape(known.name)}</b>{span}."
    there = [place for place in range(len(known.classes)) if (known.values == place).any()]
    shown = " ".join(
        f'<span class="key"><i style="{_key(place)}"></i>{escape(known.classes[place])}</span>' for place in there[:20]
    )
    more = f" and {len(there) - 20} more, in these colours again" if len(there) > 20 else ""
    return f"Coloured by <b>{escape(known.name)}</b>: {shown}{more}"
