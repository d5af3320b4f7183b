"""Encoders of frames of features: so many frames end to end are a token, and a net of any kind runs over the tokens."""

from __future__ import annotations

from abc import ABC

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from manyviews.encoding import Encoding
from manyviews.layout import Layout
from manyviews.nets.positions import sincos
from manyviews.view import View
from manyviews_speech.batch import AudioBatch
from manyviews_speech.encoder import AudioEncoder, Context, Hide, Pool, require_features
from manyviews_speech.frames import stack_frames, stack_index, stacked_lengths
from manyviews_speech.spec import AudioSpec


class FrameEncoder(AudioEncoder, ABC):
    """Stacked frames, positions, and `context` over them."""

    def __init__(
        self, spec: AudioSpec, context: Context, *, width: int, stack: int, dropout: float, hide: Hide, pool: Pool
    ) -> None:
        super().__init__(spec, width=width, pool=pool, hide=hide)
        channels = require_features(spec, type(self).__name__)
        self.stack, self.target_channels = stack, stack * channels
        self.inwards = nn.Linear(stack * channels, width)
        self.norm = nn.LayerNorm(width)
        self.drop = nn.Dropout(dropout)
        self.context = context

    def layout(self, batch: AudioBatch) -> Layout:
        assert batch.frames is not None
        lengths = stacked_lengths(batch.frames, self.stack)
        grid = None if lengths.each is None else (lengths.each,)
        return Layout(lengths, grid=grid, positions=lengths.places()[:, None].to(torch.float32))

    def forward(self, view: View) -> Encoding:
        batch, layout = self.featured(view.batch), view.layout
        assert batch.features is not None
        assert batch.frames is not None
        assert layout.positions is not None
        features = batch.features.to(self.inwards.weight.dtype)
        tokens = self.inwards(stack_frames(features, *stack_index(batch.frames, layout.lengths, self.stack)))
        positions = sincos(layout.positions, self.width).to(tokens.dtype) * view.placed
        (tokens, positions), present, lengths = self.shown(view, tokens, positions)
        return self.run(self.context, self.drop(self.norm(tokens + positions)), present, lengths, view)

    def targets(self, batch: AudioBatch, tokens: Int[Tensor, "asked"]) -> Float[Tensor, "asked channels"]:
        batch = self.featured(batch)
        content = batch.features if batch.content is None else batch.content
        assert content is not None
        assert batch.frames is not None
        index, beyond = stack_index(batch.frames, stacked_lengths(batch.frames, self.stack), self.stack)
        return stack_frames(content, index[tokens], beyond[tokens], fill=torch.nan)
