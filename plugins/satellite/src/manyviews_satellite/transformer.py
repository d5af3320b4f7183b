"""A Transformer over patches of groups of bands: SatMAE's encoder, of one date or of several."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from einops import rearrange
from jaxtyping import Float
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from manyviews.encoding import Encoding
from manyviews.moving import sent, taken
from manyviews.nets.transformer import Transformer
from manyviews.traits import Trait
from manyviews.view import View
from manyviews_satellite.batch import TileBatch
from manyviews_satellite.encoder import Pool, TileEncoder
from manyviews_satellite.groups import Grouping, groups_of
from manyviews_satellite.kernels import BandKernels, Form
from manyviews_satellite.places import placed
from manyviews_satellite.spec import TileSpec


class PatchTransformer(TileEncoder):
    """Patches of each group of bands are tokens (SatMAE, Cong et al. 2022). Missing bands are made up for.

    Args:
        width: Width of a token.
        depth: Transformer blocks.
        heads: Attention heads.
        dropout: Dropout.
        patch: Rows and columns of a patch, in pixels.
        groups: Bands that share a patch: as the `sensor` has them, `all` together, `each` by itself, or lists of names.
        kernels: Weights of a patch for each `band`, or made from its `wavelength` (DOFA).
        times: Tell tokens the year, month and hour of their image.
        positions: Places in patches, or in `metres` of ground (ScaleMAE, Reed et al. 2023), for images of several resolutions.
        hide: Hidden tokens are dropped, which is what makes masked training fast, or replaced by a learned vector.
        causal: A token sees itself and those before it on the grid (AIM, El-Nouby et al. 2024), as `autoregression` wants.
        pool: What stands for a tile: the `mean` of its tokens; of those of its middle (`centre`), for labels of the middle
            pixel; both end to end (`centre_mean`); or both of `each` date and group of bands, which is widest and loses least.
    """

    offers = TileEncoder.offers | {Trait.LAYERS, Trait.CAUSAL, Trait.UNPLACED}

    def __init__(
        self,
        spec: TileSpec,
        /,
        *,
        width: PositiveInt = 192,
        depth: PositiveInt = 6,
        heads: PositiveInt = 4,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        patch: PositiveInt = 8,
        groups: Grouping = "sensor",
        kernels: Form = "band",
        times: bool = False,
        positions: Literal["patches", "metres"] = "patches",
        hide: Literal["drop", "replace"] = "drop",
        causal: bool = False,
        pool: Pool = "mean",
    ) -> None:
        super().__init__(spec, width=width, patch=patch, groups=groups_of(spec, groups), pool=pool)
        self.times, self.positions, self.hide, self.causal = times, positions, hide, causal
        self.axes = 2 + (len(self.groups) > 1) + (max(spec.windows.dates, len(spec.windows.pairs)) > 1)
        self.kernels = nn.ModuleList(
            BandKernels([spec.bands[band] for band in group.bands], patch**2, width, kernels) for group in self.groups
        )
        self.mask = nn.Parameter(torch.empty(width).normal_(std=0.02)) if hide == "replace" else None
        self.transformer = Transformer(width, depth, heads, dropout=dropout, causal=causal)

    def forward(self, view: View) -> Encoding:
        batch, lengths = view.batch, view.layout.lengths
        places = self._places(batch) * view.placed
        tokens = rearrange(self._patches(batch) + places, "b d g h w width -> (b d g h w) width")
        present = None
        if view.hidden is not None and self.mask is not None:
            at = rearrange(places.expand(len(batch), batch.dates, *places.shape[2:]), "b d g h w width -> (b d g h w) width")
            tokens = torch.where(view.hidden.where[0][:, None], self.mask.to(tokens.dtype) + at, tokens)
        elif view.hidden is not None:
            kept = view.hidden.complement(lengths)
            present = kept.index(lengths)
            tokens, lengths = tokens[present], kept.lengths(lengths)
        layers: tuple[Tensor, ...] = ()
        seen = None if view.seen is None else view.seen.where[0]
        if view.layers:
            *_, tokens = layers = self.transformer.layers(tokens, lengths, seen)
        else:
            tokens = self.transformer(tokens, lengths, seen)
        return Encoding(tokens, present, lengths, self.pooled(tokens, present, lengths, batch), layers)

    def _patches(self, batch: TileBatch) -> Float[Tensor, "tiles dates groups rows cols width"]:
        pixels = batch.standardised(self.spec, self.dtype).pixels
        rows, cols = self.patches(batch)
        made = []
        for number, places in self.present(batch):
            part = rearrange(taken(pixels, 2, places), "b d c (h p) (w q) -> (b d h w) c (p q)", p=self.patch, q=self.patch)
            bands = self.groups[number].bands
            kernels = self.kernels[number]
            assert isinstance(kernels, BandKernels)
            made.append(kernels(part, [bands.index(batch.bands[place]) for place in places], len(bands)))
        return rearrange(made, "g (b d h w) width -> b d g h w width", b=len(batch), h=rows, w=cols)

    def _places(self, batch: TileBatch) -> Float[Tensor, "tiles_or_one dates groups rows cols width"]:
        rows, cols = self.patches(batch)
        time = batch.time if self.times else None
        unit: float | Tensor = 1.0
        if self.positions == "metres" and self.spec.metres is not None:
            unit = (batch.metres / self.spec.metres).nan_to_num(nan=1.0)
        numbers = [number for number, _ in self.present(batch)]
        found = placed(rows, cols, numbers, time, self.width, unit, of_groups=len(self.groups) > 1)
        return sent(found.to(self.dtype), batch.pixels.device)
