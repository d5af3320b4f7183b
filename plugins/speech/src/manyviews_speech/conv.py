"""A light convolutional encoder for small machines and small data."""

from __future__ import annotations

from typing import Annotated

import torch
from jaxtyping import Float, Int
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from manyviews.encoding import Encoding
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.view import View
from manyviews_speech.batch import AudioBatch
from manyviews_speech.convolutions import RaggedConv
from manyviews_speech.encoder import AudioEncoder, Pool, pooled, require_features
from manyviews_speech.frames import stack_frames, stack_index, stacked_lengths
from manyviews_speech.spec import AudioSpec


class ConvBlock(nn.Module):
    """Depthwise convolution over time, norm, and two layers across channels, with a residual (ConvNeXt, Liu et al. 2022)."""

    def __init__(self, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.conv = RaggedConv(width, width, kernel, groups=width)
        self.norm = nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(dropout))

    def forward(self, tokens: Float[Tensor, "tokens width"], lengths: Lengths) -> Float[Tensor, "tokens width"]:
        return tokens + self.feed(self.norm(self.conv(tokens, lengths)))


class ConvEncoder(AudioEncoder):
    """Frames of features, a strided convolution to tokens, and blocks of depthwise convolutions.

    Args:
        width: Width of a token.
        depth: Blocks.
        kernel: Tokens that a block's convolution sees.
        stride: Frames of a token.
        dropout: Dropout.
        pool: What stands for a clip: the mean of its tokens, mean and standard deviation, or the means of its four quarters.
    """

    def __init__(
        self,
        spec: AudioSpec,
        /,
        *,
        width: PositiveInt = 128,
        depth: PositiveInt = 4,
        kernel: Annotated[int, Field(ge=1)] = 7,
        stride: PositiveInt = 4,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        pool: Pool = "mean_std",
    ) -> None:
        super().__init__(spec, width=width, pool=pool)
        channels = require_features(spec, "speech/conv")
        self.stride, self.target_channels = stride, stride * channels
        self.inwards = RaggedConv(channels, width, 2 * stride + 1 if stride > 1 else 3, stride)
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(ConvBlock(width, kernel, dropout) for _ in range(depth))
        self.last = nn.LayerNorm(width)

    def layout(self, batch: AudioBatch) -> Layout:
        assert batch.frames is not None
        lengths = self.inwards.lengths(batch.frames)
        grid = None if lengths.each is None else (lengths.each,)
        return Layout(lengths, grid=grid, positions=lengths.places()[:, None].to(torch.float32))

    def forward(self, view: View) -> Encoding:
        batch = self.featured(view.batch)
        assert batch.features is not None
        assert batch.frames is not None
        features = self._withheld(view, batch.features.to(self.norm.weight.dtype), batch.frames)
        tokens = F.gelu(self.norm(self.inwards(features, batch.frames)))
        (tokens,), present, lengths = self.shown(view, tokens)
        layers = []
        for block in self.blocks:
            tokens = block(tokens, lengths)
            layers.append(tokens)
        tokens = self.last(tokens)
        kept = (*layers[:-1], tokens) if view.layers else ()
        return Encoding(tokens, present, lengths, pooled(tokens, lengths, self.pool), kept)

    def _withheld(self, view: View, features: Tensor, frames: Lengths) -> Float[Tensor, "frames channels"]:
        """Frames of hidden tokens at the mean: the first convolution reaches into its neighbours, and would show them."""
        if view.hidden is None:
            return features
        hidden = view.hidden.where[0]
        token = view.layout.lengths.starts()[frames.owners()] + frames.places() // self.stride
        return torch.where(hidden[token][:, None], features.new_zeros(()), features)

    def targets(self, batch: AudioBatch, tokens: Int[Tensor, "asked"]) -> Float[Tensor, "asked channels"]:
        batch = self.featured(batch)
        content = batch.features if batch.content is None else batch.content
        assert content is not None
        assert batch.frames is not None
        index, beyond = stack_index(batch.frames, stacked_lengths(batch.frames, self.stride), self.stride)
        return stack_frames(content, index[tokens], beyond[tokens], fill=torch.nan)
