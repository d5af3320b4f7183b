"""MONAI's ViT as an encoder."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from jaxtyping import Float
from monai.networks.nets.vit import ViT as MonaiViT
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews.encoding import Encoding
from manyviews.lengths import Lengths
from manyviews.traits import Trait
from manyviews.view import View
from manyviews_medical.encoder import Scale, VolumeEncoder
from manyviews_medical.patches import as_map, grid_of
from manyviews_medical.spec import VolumeSpec
from manyviews_medical.transformer import TAKEN


class ViT(VolumeEncoder):
    """The Vision Transformer (Dosovitskiy et al. 2021) by MONAI, with positions that are learned for the data's crop.

    Views of another size get the positions interpolated.

    Args:
        width: Width of a token.
        depth: Transformer blocks.
        heads: Attention heads.
        patch: Voxels of a patch along each axis.
        dropout: Dropout.
        hide: Hidden patches are dropped, or replaced by a learned vector.
    """

    offers = VolumeEncoder.offers | {Trait.LAYERS}

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
    ) -> None:
        super().__init__(spec, width=width, patch=patch)
        self.hide = hide
        self.mask = nn.Parameter(torch.empty(width).normal_(std=0.02))
        self.net = MonaiViT(
            in_channels=spec.channels,
            img_size=spec.crop,
            patch_size=(patch,) * spec.axes,
            hidden_size=width,
            mlp_dim=4 * width,
            num_layers=depth,
            num_heads=heads,
            dropout_rate=dropout,
            spatial_dims=spec.axes,
        )
        for block in self.net.blocks:  # for conditions on text, which nothing here has; they would never get a gradient
            del block.cross_attn, block.norm_cross_attn
        self.taken = tuple(dict.fromkeys(round(depth * (turn + 1) / TAKEN) or 1 for turn in range(TAKEN)))
        self.scales = (Scale(1, spec.channels), *(Scale(patch, width) for _ in self.taken))

    def forward(self, view: View) -> Encoding:
        hidden, lengths = view.hidden, view.layout.lengths
        if hidden is None or self.hide == "replace":
            return self._run(self._tokens(view), None, lengths, layers=view.layers)
        kept = hidden.complement(lengths)
        present, left = kept.index(lengths), kept.lengths(lengths)
        return self._run(self._tokens(view)[present], present, left, layers=view.layers)

    def _tokens(self, view: View) -> Float[Tensor, "tokens width"]:
        """Patches with their positions; hidden ones replaced where they are not dropped after this."""
        voxels = view.batch.scaled(self.mask.dtype).voxels
        embedding = self.net.patch_embedding
        tokens = embedding.patch_embeddings(voxels).flatten(2).transpose(1, 2)
        if view.hidden is not None and self.hide == "replace":
            where = view.hidden.where.reshape(len(voxels), -1, 1)
            tokens = torch.where(where, self.mask.to(tokens.dtype), tokens)
        placed: Tensor = embedding.dropout(tokens + self._positions(grid_of(tuple(voxels.shape[2:]), self.patch)))
        return placed.flatten(0, 1)

    def _positions(self, grid: tuple[int, ...]) -> Float[Tensor, "1 places width"]:
        learned: Tensor = self.net.patch_embedding.position_embeddings
        own = grid_of(self.spec.crop, self.patch)
        if grid == own:
            return learned
        mode = "trilinear" if len(grid) == 3 else "bilinear"
        return F.interpolate(as_map(learned[0], own), size=grid, mode=mode, align_corners=False).flatten(2).transpose(1, 2)

    def _run(
        self, tokens: Float[Tensor, "present width"], present: Tensor | None, lengths: Lengths, *, layers: bool
    ) -> Encoding:
        """Every sample has equally many tokens left, or attention is masked."""
        x, kept = lengths.pad(tokens), []
        real = lengths.real()
        for block in self.net.blocks:
            x = block(x, attn_mask=real)
            kept.append(x)
        tokens = lengths.unpad(self.net.norm(x))
        every = (*(lengths.unpad(layer) for layer in kept[:-1]), tokens) if layers else ()
        return Encoding(tokens, present, lengths, lengths.mean(tokens), every)

    def both(self, view: View) -> tuple[Encoding, tuple[Float[Tensor, "samples _ ..."], ...]]:
        """The maps are the voxels and four layers' tokens on their grid."""
        encoding = self._run(self._tokens(view), None, view.layout.lengths, layers=True)
        voxels = view.batch.scaled(self.mask.dtype).voxels
        grid = grid_of(tuple(voxels.shape[2:]), self.patch)
        return encoding, (voxels, *(as_map(encoding.layers[number - 1], grid) for number in self.taken))
