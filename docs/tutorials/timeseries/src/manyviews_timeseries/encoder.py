"""A Transformer on channel-independent patches (PatchTST, Nie et al. 2023): each channel is a sequence of its own."""

from __future__ import annotations

from typing import Annotated

import torch
from einops import rearrange
from jaxtyping import Float, Int
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from manyviews.encoder import Encoder
from manyviews.encoding import Encoding
from manyviews.errors import UserError
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.nets.positions import sincos
from manyviews.nets.transformer import Transformer
from manyviews.traits import Trait
from manyviews.view import View
from manyviews_timeseries.source import TimeseriesBatch, TimeseriesSpec, windows


class TimeseriesTransformer(Encoder):
    """Tokens are `patch` steps of one channel; a window's tokens stand channel by channel. Attention stays within a channel.

    Channels are scaled by the training data's mean and deviation, not by each window's own as in the paper: a window's mean
    would tell of the patches that are hidden.

    Args:
        patch: Steps of a token; divides `data.window`.
        width: Width of a token's embedding; a multiple of `heads`.
        depth: Transformer blocks.
        heads: Attention heads.
        dropout: Of attention weights, feed-forward nets and residuals.
    """

    offers = frozenset({Trait.HIDES_TOKENS, Trait.PLACED_TOKENS, Trait.TOKEN_TARGETS})
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        spec: TimeseriesSpec,
        /,
        *,
        patch: PositiveInt = 8,
        width: PositiveInt = 64,
        depth: PositiveInt = 3,
        heads: PositiveInt = 4,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
    ) -> None:
        super().__init__()
        if spec.window % patch:
            raise UserError(f"patch: {patch} steps do not divide the window's {spec.window}")
        self.width, self.target_channels = width, patch
        self.patch, self.patches, self.channels = patch, spec.window // patch, len(spec.channels)
        self.inwards = nn.Linear(patch, width)
        self.mask_token = nn.Parameter(torch.empty(width).normal_(std=0.02))
        self.transformer = Transformer(width, depth, heads, dropout=dropout)
        self.register_buffer("mean", torch.tensor(spec.mean))
        self.register_buffer("std", torch.tensor(spec.std))

    @property
    def pooled_width(self) -> int:
        return self.channels * self.width

    def layout(self, batch: TimeseriesBatch) -> Layout:
        return Layout(windows(batch, self.patches), grid=(self.channels, self.patches))

    def forward(self, view: View) -> Encoding:
        tokens = self.inwards(self._content(view.batch))
        if view.hidden is not None:
            tokens = torch.where(view.hidden.where[0][:, None], self.mask_token.to(tokens.dtype), tokens)
        places = view.layout.coordinates()
        assert places is not None
        tokens = tokens + sincos(places[:, 1:], self.width).to(tokens.dtype)  # the channel's number tells nothing
        sequences = Lengths.equal(len(view.batch) * self.channels, self.patches, tokens.device)
        tokens = self.transformer(tokens, sequences)
        pooled = rearrange(
            sequences.mean(tokens), "(samples channels) width -> samples (channels width)", channels=self.channels
        )
        return Encoding(tokens, None, view.layout.lengths, pooled)

    def targets(self, batch: TimeseriesBatch, tokens: Int[Tensor, "asked"]) -> Float[Tensor, "asked patch"]:
        return self._content(batch)[tokens]

    def _content(self, batch: TimeseriesBatch) -> Float[Tensor, "tokens patch"]:
        values = (batch.values.to(self.mean.dtype) - self.mean) / self.std
        return rearrange(values, "samples (patches patch) channels -> (samples channels patches) patch", patch=self.patch)
