"""Encoders that go down and up again: all of them is pretrained, the way up too, and a linear layer behind it segments.

Their tokens are cubes of the deepest stride: what the deepest level holds there, and what the decoded map holds in the cube's
voxels. So every objective of the core reaches every weight, and none is left to be learnt from labels alone.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn

from manyviews.encoding import Encoding
from manyviews.view import View
from manyviews_medical.encoder import Scale, VolumeEncoder
from manyviews_medical.nets.conv import CONV
from manyviews_medical.patches import as_tokens, withheld
from manyviews_medical.spec import VolumeSpec


class UShaped(VolumeEncoder):
    """What they share: voxels of hidden tokens give way to a learned value, tokens are made of both ends."""

    def __init__(self, spec: VolumeSpec, *, width: int, patch: int, deepest: int, finest: int) -> None:
        super().__init__(spec, width=width, patch=patch)
        self.mask = nn.Parameter(torch.zeros(spec.channels))
        self.deep = CONV[spec.axes](deepest, width, 1)
        self.fine = CONV[spec.axes](finest, width, patch, stride=patch)
        self.scales = (Scale(1, finest),)

    @abstractmethod
    def down_and_up(self, x: Float[Tensor, "samples channels *space"]) -> tuple[Tensor, Tensor]:
        """The deepest map, and the decoded one of a cell a voxel."""

    def forward(self, view: View) -> Encoding:
        return self.both(view)[0]

    def both(self, view: View) -> tuple[Encoding, tuple[Float[Tensor, "samples _ ..."], ...]]:
        """The map is the decoded one."""
        deepest, decoded = self.down_and_up(withheld(view, self.mask, self.patch))
        tokens, lengths = as_tokens(self.deep(deepest) + self.fine(decoded)), view.layout.lengths
        return Encoding(tokens, None, lengths, lengths.mean(tokens)), (decoded,)
