"""Slices of volumes as pictures, with what is withheld and what is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Shaped

from manyviews.look.marks import mark_cells, outline, to_grid
from manyviews.look.style import MARKED
from manyviews.renderer import Renderer, Shown
from manyviews.source import Source
from manyviews_medical.batch import VolumeBatch
from manyviews_medical.objectives.volume_fusion import FusionMap
from manyviews_medical.places import PLANES
from manyviews_medical.source import VolumeSource
from manyviews_medical.spec import Plane, VolumeSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class SliceRenderer(Renderer):
    """The middle slice of a crop, up being up; what a fusion mixed in is drawn over it.

    Args:
        plane: The plane of the slice, of volumes turned to right, anterior, superior.
        channel: The channel that is drawn.
    """

    size = (1.8, 1.8)
    legend = "A tint tells how much of another volume was fused in, where that is asked."

    def __init__(self, spec: VolumeSpec, /, *, plane: Plane = "axial", channel: int = 0) -> None:
        self.across = None if spec.axes == 2 else PLANES[plane]
        self.channel = min(channel, spec.channels - 1)

    def draw(self, axes: Axes, shown: Shown) -> None:
        batch: VolumeBatch = shown.view.batch.scaled()
        picture = self._slice(batch.voxels[shown.sample, self.channel].float().numpy())
        extent = (0, picture.shape[1], picture.shape[0], 0)
        low, high = (0, 1) if batch.clip else (-2, 3)  # deviations, of z-scores
        axes.imshow(picture, cmap="gray", vmin=low, vmax=high, extent=extent, interpolation="nearest")
        if isinstance(shown.view.target, FusionMap):
            steps = self._slice(shown.view.target.steps[shown.sample].numpy() / (shown.view.target.count - 1))
            axes.imshow(steps, cmap="viridis", alpha=0.35, vmin=0, vmax=1, extent=extent, interpolation="nearest")
        if shown.places is None:
            return
        hidden = self._cells(shown, shown.hidden)
        mark_cells(axes, hidden, [self._cells(shown, one) for one in shown.asked], extent)
        axes.set_aspect("equal")
        if shown.token is not None and shown.token < len(shown.hidden):
            outline(axes, self._cells(shown, np.arange(len(shown.hidden)) == shown.token), extent, MARKED)

    def caption(self, source: Source, sample: int, token: int | None = None) -> str:
        """Case and patient."""
        assert isinstance(source, VolumeSource)
        volume = source.volumes[sample % len(source.volumes)]
        known = [volume.case.name, volume.modality, "" if volume.patient == volume.case.name else f"patient {volume.patient}"]
        return ", ".join(filter(None, known))[:120]

    def _cells(self, shown: Shown, values: Bool[np.ndarray, "tokens"]) -> Bool[np.ndarray, "rows columns"]:
        assert shown.places is not None
        return self._slice(to_grid(values, shown.places))

    def _slice(self, volume: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "rows columns"]:
        """The middle one, first axis to the right and second upwards."""
        flat = volume if self.across is None else np.take(volume, volume.shape[self.across] // 2, axis=self.across)
        return np.flipud(flat.T)
