"""What windows look like to people: in `manyviews show-views`, and in the report of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from manyviews.renderer import Renderer, Shown
from manyviews_timeseries.source import TimeseriesSource

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Lines(Renderer):
    """A line for each channel, steps from left to right; what is hidden from the encoder is covered."""

    def draw(self, axes: Axes, shown: Shown) -> None:
        from manyviews.look.marks import mark_grid

        steps = shown.view.batch.sample(shown.sample).numpy()
        axes.plot(np.arange(len(steps)) + 0.5, steps, linewidth=1.0)
        axes.set_xlim(0, len(steps))
        bottom, top = map(float, axes.get_ylim())
        mark_grid(axes, shown, (0, len(steps), bottom, top))

    def caption(self, source: TimeseriesSource, sample: int, token: int | None = None) -> str:
        return source.caption(sample)
