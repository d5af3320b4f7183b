"""A Transformer over patches of volumes: the encoder of 3D MAE and of everything that drops tokens."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from manyviews.encoding import Encoding
from manyviews.lengths import Lengths
from manyviews.nets.positions import sincos
from manyviews.nets.transformer import Transformer
from manyviews.traits import Trait
from manyviews.view import View
from manyviews_medical.batch import VolumeBatch
from manyviews_medical.encoder import Scale, VolumeEncoder
from manyviews_medical.patches import as_map, cut, grid_of
from manyviews_medical.spec import VolumeSpec

CENTRE, SPREAD = 0.5, 0.25
"""Mean and deviation that scaled numbers (0 to 1) are taken to have. Embedded as they are, what a crop's patches have in common
would be three times as large as what tells them apart, and their places ten times."""
TAKEN = 4
"""Layers that heads for segmentation are given, as UNETR (Hatamizadeh et al. 2022)."""


class PatchTransformer(VolumeEncoder):
    """A Transformer over cubic patches (ViT, Dosovitskiy et al. 2021; in 3D as UNETR, Hatamizadeh et al. 2022).

    Args:
        width: Width of a token.
        depth: Transformer blocks.
        heads: Attention heads.
        patch: Voxels of a patch along each axis.
        dropout: Dropout.
        hide: Hidden patches are dropped, which is what makes masked training fast, or replaced by a learned vector (SimMIM).
        causal: A patch sees itself and those before it on the grid (AIM, El-Nouby et al. 2024), as `autoregression` wants.
    """

    offers = VolumeEncoder.offers | {Trait.LAYERS, Trait.CAUSAL, Trait.UNPLACED}

    def __init__(
        self,
        spec: VolumeSpec,
        /,
        *,
        width: PositiveInt = 192,
        depth: PositiveInt = 6,
        heads: PositiveInt = 6,
        patch: PositiveInt = 8,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        hide: Literal["drop", "replace"] = "drop",
        causal: bool = False,
    ) -> None:
        super().__init__(spec, width=width, patch=patch)
        self.hide, self.causal, self.axes = hide, causal, spec.axes
        self.inwards = nn.Linear(self.target_channels, width)
        nn.init.xavier_uniform_(self.inwards.weight)  # as MAE's, so that patches and their places weigh alike at first
        nn.init.zeros_(self.inwards.bias)
        self.centred = spec.intensity.kind == "zscore"
        self.mask = nn.Parameter(torch.empty(width).normal_(std=0.02))
        self.transformer = Transformer(width, depth, heads, dropout=dropout, causal=causal)
        self.taken = tuple(dict.fromkeys(round(depth * (turn + 1) / TAKEN) or 1 for turn in range(TAKEN)))
        self.scales = (Scale(1, spec.channels), *(Scale(patch, width) for _ in self.taken))

    def forward(self, view: View) -> Encoding:
        hidden, lengths = view.hidden, view.layout.lengths
        if hidden is None or self.hide == "replace":
            tokens = self._tokens(view, None if hidden is None else hidden.where[0])
            return self._run(tokens, None, lengths, view)
        kept = hidden.complement(lengths)
        present = kept.index(lengths)
        return self._run(self._tokens(view, None, present), present, kept.lengths(lengths), view)

    def _tokens(
        self, view: View, hidden: Bool[Tensor, "tokens"] | None, present: Tensor | None = None
    ) -> Float[Tensor, "present width"]:
        """Patches as tokens, with their positions; of `present` alone, so that nothing is computed of the others."""
        scaled = view.batch.scaled(self.inwards.weight.dtype)
        patches = cut(scaled.voxels, self.patch)
        places = self._positions(view.batch, len(patches)) * view.placed
        if present is not None:
            patches, places = patches[present], places[present]
        tokens = self.inwards(patches if self.centred else (patches - CENTRE) / SPREAD)
        if hidden is not None:
            tokens = torch.where(hidden[:, None], self.mask.to(tokens.dtype), tokens)
        return tokens + places.to(tokens.dtype)

    def _positions(self, batch: VolumeBatch, total: int) -> Float[Tensor, "tokens width"]:
        places = self.layout(batch).places()
        assert places is not None
        encoded = sincos(places.to(self.inwards.weight.dtype), self.width)
        return encoded.repeat(total // len(encoded), 1)

    def _run(self, tokens: Float[Tensor, "present width"], present: Tensor | None, lengths: Lengths, view: View) -> Encoding:
        seen = None if view.seen is None else view.seen.where[0]
        if not view.layers:
            tokens = self.transformer(tokens, lengths, seen)
            return Encoding(tokens, present, lengths, lengths.mean(tokens))
        every = self.transformer.layers(tokens, lengths, seen)
        return Encoding(every[-1], present, lengths, lengths.mean(every[-1]), every)

    def both(self, view: View) -> tuple[Encoding, tuple[Float[Tensor, "samples _ ..."], ...]]:
        """The maps are the voxels and four layers' tokens on their grid."""
        scaled = view.batch.scaled(self.inwards.weight.dtype)
        view = replace(view, batch=scaled, layers=True)
        hidden = None if view.hidden is None else view.hidden.where[0]
        encoding = self._run(self._tokens(view, hidden), None, view.layout.lengths, view)
        grid = grid_of(scaled.space, self.patch)
        return encoding, (scaled.voxels, *(as_map(encoding.layers[number - 1], grid) for number in self.taken))
