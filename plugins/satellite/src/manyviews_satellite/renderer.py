"""Tiles as people look at them: in true colour where the bands are there, else in false colour."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from manyviews.errors import UserError
from manyviews.look import style
from manyviews.renderer import Renderer, Shown
from manyviews_satellite.batch import TileBatch
from manyviews_satellite.sensors import canonical, colours
from manyviews_satellite.spec import TileSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from manyviews_satellite.source import TileSource

QUANTILES = (0.02, 0.98)
"""Of a tile's numbers, of all its dates and colours together, those that are drawn darkest and brightest: hues stay, and the
dates of a tile, and a view and the tile that it was made of, can be compared."""
LEAST = 1.5
"""Deviations of the training data that colours span at least: what varies by less is drawn as even as it is."""
GAMMA = 0.7
"""Brightness is a power of a number: beside a date full of clouds the ground of the others would be black."""


class TileRenderer(Renderer):
    """Red, green and blue of a tile; several dates side by side. Patches are covered that are hidden in most groups of bands.

    Args:
        bands: Three bands as red, green and blue; null: true colour where the sensor has it, else the first three bands; of
            radar the logarithm of the amplitude.
    """

    size = (1.6, 1.6)

    def size_of(self, shown: Shown) -> tuple[float, float]:
        """Dates stand side by side."""
        width, height = self.size
        return shown.view.batch.dates * width, height

    def __init__(self, spec: TileSpec, /, *, bands: list[str] | None = None) -> None:
        self.spec = spec
        names = [band.label for band in spec.bands]
        known = colours([band.name for band in spec.bands], spec.bands[0].sensor) if not spec.complex else None
        wanted = [canonical(name) for name in bands] if bands is not None else list(known or names[:3])
        if unknown := [name for name in wanted if name not in names]:
            raise UserError(f"renderer.bands: there is no band {unknown[0]!r} (known: {', '.join(names)})")
        self.wanted = [names.index(name) for name in wanted]
        self.gamma = 1.0 if spec.complex else GAMMA

    def draw(self, axes: Axes, shown: Shown) -> None:
        from manyviews.look.marks import mark_cells, outline, to_grid

        batch: TileBatch = shown.view.batch
        data: TileBatch = shown.original.view.batch
        low, high = self._span(data, shown.original.sample)
        pictures = [
            ((self.colours(batch, shown.sample, date) - low) / np.maximum(high - low, 1e-6)).clip(0, 1) ** self.gamma
            for date in range(batch.dates)
        ]
        pictures = [np.where(np.isnan(picture), 0.5, picture) for picture in pictures]
        height, width = pictures[0].shape[:2]
        axes.imshow(np.concatenate(pictures, axis=1), extent=(0, width * len(pictures), height, 0), interpolation="nearest")
        places = shown.places
        if places is None:
            return
        for date in range(batch.dates):
            extent = (date * width, (date + 1) * width, height, 0)

            def flat(values: Bool[np.ndarray, "tokens"], date: int = date) -> Bool[np.ndarray, "rows cols"]:
                """Of one date; groups of bands on top of one another."""
                grid = to_grid(values, places)
                grid = grid[date] if batch.dates > 1 else grid
                flat: np.ndarray = grid.reshape(-1, *grid.shape[-2:]).mean(0) > 0.5
                return flat

            mark_cells(axes, flat(shown.hidden), [flat(one) for one in shown.asked], extent)
            if shown.token is not None and shown.token < len(shown.hidden):
                grid = to_grid(np.arange(len(shown.hidden)) == shown.token, places)
                grid = grid[date] if batch.dates > 1 else grid
                outline(axes, np.asarray(grid.reshape(-1, *grid.shape[-2:]).any(0)), extent, style.MARKED)

    def _span(self, data: TileBatch, sample: int) -> tuple[float, float]:
        """The numbers that are drawn darkest and brightest."""
        seen = np.stack([self.colours(data, sample, date) for date in range(data.dates)])
        if not np.isfinite(seen).any():
            return 0.0, 1.0
        low, high = (float(value) for value in np.nanquantile(seen, QUANTILES))
        lacking = 0.0 if self.spec.complex else max(LEAST - (high - low), 0.0)
        return low - lacking / 2, high + lacking / 2

    def colours(self, batch: TileBatch, sample: int, date: int) -> Float[np.ndarray, "rows cols three"]:
        """Red, green and blue in deviations of the training data; NaN where nothing was seen, the mean of a missing band."""
        valid = None if batch.valid is None else batch.valid[sample : sample + 1]
        one = slice(sample, sample + 1)
        part = replace(
            batch, pixels=batch.pixels[one], scale=batch.scale[one], offset=batch.offset[one], time=batch.time[one],
            metres=batch.metres[one], valid=valid,
        )  # fmt: skip
        content = part.content(self.spec)[0, date].numpy()
        if self.spec.complex:
            amplitude = np.log(np.hypot(content[0], content[-1]) + 1e-3)
            return np.stack([amplitude] * 3, axis=-1)
        there = {band: content[place] for place, band in enumerate(batch.bands)}
        chosen = [there.get(band, np.zeros_like(content[0])) for band in self.wanted]
        chosen = chosen * 3 if len(chosen) == 1 else (chosen + chosen[-1:])[:3]
        return np.stack(chosen, axis=-1)

    def caption(self, source: TileSource, sample: int, token: int | None = None) -> str:
        name = source.name(sample)
        return name if token is None else f"{name}, token {token}"
