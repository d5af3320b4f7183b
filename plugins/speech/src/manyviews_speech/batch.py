"""What a source of sound hands to its encoders: clips back to back, as waveforms and, where they are asked for, features.

Features are computed where that is fastest: on a CPU for each clip in the process that reads it (batching gains
nothing there), on a GPU for the whole batch at once. So a batch may come with features or without, and whoever needs
them asks `Frontend.features(batch)`. A view that alters the waveform leaves them out, since they no longer hold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from manyviews.lengths import Lengths
from manyviews.moving import moved


@dataclass(frozen=True)
class AudioBatch:
    """Clips of different length, without padding."""

    wave: Float[Tensor, "points"]
    """Samples between -1 and 1 at the spec's rate, one clip's after another's; mono."""
    points: Lengths
    """Samples of each clip."""
    features: Float[Tensor, "frames channels"] | None = None
    """Frames as the spec's `features` say, one clip's after another's; None: not computed yet."""
    frames: Lengths | None = None
    """Frames of each clip, known beforehand; None where the spec has no features."""
    content: Float[Tensor, "frames channels"] | None = None
    """What reconstruction asks for where features were altered: the features before, NaN where nothing was altered."""
    speakers: Int[Tensor, "clips"] | None = None
    """A number for each clip's speaker where the data name them, -1 where they do not; for speaker-consistent views only."""
    others: AudioBatch | None = None
    """Another clip of each clip's speaker, where the source is asked for pairs."""

    def __len__(self) -> int:
        return len(self.points)

    def altered(self, wave: Float[Tensor, "points"]) -> AudioBatch:
        """The same clips with another waveform of the same length, whose features are not computed."""
        return replace(self, wave=wave, features=None)

    def to(self, device: torch.device, non_blocking: bool = False) -> AudioBatch:
        return moved(self, device, non_blocking)
