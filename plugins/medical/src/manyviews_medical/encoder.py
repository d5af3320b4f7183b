"""What all encoders of volumes share: cubic patches as tokens, and maps of several scales for heads that answer for voxels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from manyviews.encoder import Encoder
from manyviews.encoding import Encoding
from manyviews.errors import UserError
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.traits import Trait
from manyviews.view import View
from manyviews_medical.batch import VolumeBatch
from manyviews_medical.patches import content, grid_of
from manyviews_medical.spec import VolumeSpec


@dataclass(frozen=True)
class Scale:
    """One of the maps that an encoder gives."""

    stride: int
    """Voxels between its cells along each axis."""
    width: int


class VolumeEncoder(Encoder, ABC):
    """Tokens are cubes (in slices: squares) of `patch` voxels a side; `targets` are their voxels."""

    offers = frozenset({Trait.HIDES_TOKENS, Trait.PLACED_TOKENS, Trait.TOKEN_TARGETS, Trait.FEATURE_MAPS})
    scales: tuple[Scale, ...]
    """Of `maps`, finest first."""

    def __init__(self, spec: VolumeSpec, *, width: int, patch: int) -> None:
        super().__init__()
        self.spec, self.width, self.patch = spec, width, patch
        grid_of(spec.crop, patch)
        self.target_channels = spec.channels * patch**spec.axes

    def layout(self, batch: VolumeBatch) -> Layout:
        grid = grid_of(batch.space, self.patch)
        each = 1
        for cells in grid:
            each *= cells
        return Layout(Lengths.equal(len(batch), each, batch.voxels.device), grid=grid)

    def targets(self, batch: VolumeBatch, tokens: Int[Tensor, "asked"]) -> Float[Tensor, "asked content"]:
        return content(batch, self.patch, tokens)

    @property
    def map_widths(self) -> tuple[int, ...]:
        """Channels of each of `maps`."""
        return tuple(scale.width for scale in self.scales)

    @abstractmethod
    def both(self, view: View) -> tuple[Encoding, tuple[Float[Tensor, "samples _ ..."], ...]]:
        """The encoding and the maps from one pass; hidden tokens are replaced."""

    def maps(self, view: View) -> tuple[Float[Tensor, "samples _ ..."], ...]:
        """What it makes of a view at each of `scales`: (samples, width, cells …)."""
        return self.both(view)[1]


def as_volume_encoder(encoder: Encoder, objective: str) -> VolumeEncoder:
    """The encoder as one of this domain, whose maps dense objectives read.

    Raises:
        UserError: It is of another domain.
    """
    if not isinstance(encoder, VolumeEncoder):
        raise UserError(
            f"{objective} answers voxel by voxel and needs an encoder of volumes, and this is {type(encoder).__name__}"
        )
    return encoder
