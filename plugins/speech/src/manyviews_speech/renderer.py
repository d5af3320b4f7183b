"""Sound as people look at it: features over time, or the waveform where the data have none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from manyviews.look import style
from manyviews.renderer import Renderer, Shown
from manyviews_speech.batch import AudioBatch
from manyviews_speech.frontend import Frontend
from manyviews_speech.spec import AudioSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from manyviews_speech.source import AudioSource


class SpectrogramRenderer(Renderer):
    """Features over time, low channels at the bottom; the waveform where there are no features.

    Args:
        colours: A colour map of matplotlib's.
    """

    size = (2.4, 1.1)
    legend = "Time runs from left to right, low channels are at the bottom."

    def __init__(self, spec: AudioSpec, /, *, colours: str = "viridis") -> None:
        self.colours = colours
        self.frontend = None if spec.features is None else Frontend.of(spec)

    def draw(self, axes: Axes, shown: Shown) -> None:
        from manyviews.look.marks import mark_grid

        batch: AudioBatch = shown.view.batch
        if self.frontend is None:
            wave = _of_clip(batch.wave, batch.points.on_host(), shown.sample)
            axes.fill_between(*_envelope(wave), color=style.SHOWN, linewidth=0)
            extent = (0.0, float(len(wave)), *axes.get_ylim())
        else:
            featured = self.frontend(batch)
            assert featured.features is not None
            assert featured.frames is not None
            frames = _of_clip(featured.features, featured.frames.on_host(), shown.sample)
            extent = (0.0, float(frames.shape[0]), 0.0, float(frames.shape[1]))
            low, high = np.quantile(frames, [0.01, 0.99])
            axes.imshow(frames.T, origin="lower", extent=extent, aspect="auto", cmap=self.colours, vmin=low, vmax=high)
        axes.set_xlim(extent[:2])
        axes.set_ylim(extent[2:])
        left, right, bottom, top = extent
        upwards = (left, right, top, bottom)  # a grid's first row is the lowest channel
        mark_grid(axes, shown, upwards, transposed=True)

    def caption(self, source: AudioSource, sample: int, token: int | None = None) -> str:
        name = source.name(sample)
        return name if token is None else f"{name}, token {token}"


def _of_clip(values: object, lengths: list[int], clip: int) -> Float[np.ndarray, "length *rest"]:
    start = sum(lengths[:clip])
    return values[start : start + lengths[clip]].numpy()  # type: ignore[index]


def _envelope(wave: Float[np.ndarray, "points"], parts: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Place, least and greatest sample of each of so many parts: what a line through all samples would fill."""
    cuts = np.array_split(wave, min(parts, len(wave)))
    at = np.linspace(0, len(wave), len(cuts))
    return at, np.array([cut.min() for cut in cuts]), np.array([cut.max() for cut in cuts])
