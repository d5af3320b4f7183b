"""A Transformer over patches of a spectrogram: the encoder of AudioMAE, Bird-MAE and ATST-Clip."""

from __future__ import annotations

from typing import Annotated

import torch
from einops import rearrange, reduce
from jaxtyping import Float, Int
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from manyviews.encoding import Encoding
from manyviews.errors import UserError
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.nets.positions import sincos
from manyviews.nets.transformer import Transformer
from manyviews.traits import Trait
from manyviews.view import View
from manyviews_speech.batch import AudioBatch
from manyviews_speech.encoder import AudioEncoder, Hide, Pool, require_features
from manyviews_speech.frames import stack_frames, stack_index, stacked_lengths
from manyviews_speech.spec import AudioSpec


class PatchTransformer(AudioEncoder):
    """Tokens are patches of frames by channels (Huang et al. 2022, AudioMAE), those of one time together, low bands first.

    Args:
        width: Width of a token.
        depth: Transformer blocks.
        heads: Attention heads.
        dropout: Dropout.
        frames: Frames of a patch.
        channels: Feature channels of a patch; divides those of the data.
        hide: Hidden patches are dropped, which is what makes masked training fast, or replaced by a learned vector.
        pool: What stands for a clip: the mean of its tokens, mean and standard deviation, or the means of its four quarters.
    """

    offers = AudioEncoder.offers | {Trait.UNPLACED}

    def __init__(
        self,
        spec: AudioSpec,
        /,
        *,
        width: PositiveInt = 192,
        depth: PositiveInt = 6,
        heads: PositiveInt = 4,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        frames: PositiveInt = 16,
        channels: PositiveInt = 16,
        hide: Hide = "drop",
        pool: Pool = "mean",
    ) -> None:
        super().__init__(spec, width=width, pool=pool, hide=hide)
        self.axes = 2
        given = require_features(spec, "speech/patches")
        if given % channels:
            raise UserError(f"encoder.channels: patches of {channels} channels do not divide the features' {given}")
        self.frames, self.bands = frames, given // channels
        self.target_channels = frames * channels
        self.inwards = nn.Linear(frames * channels, width)
        self.transformer = Transformer(width, depth, heads, dropout=dropout)

    def layout(self, batch: AudioBatch) -> Layout:
        assert batch.frames is not None
        times = stacked_lengths(batch.frames, self.frames)
        lengths = times.map(lambda number: number * self.bands)
        place = lengths.places()
        positions = torch.stack([place // self.bands, place % self.bands], dim=1).to(torch.float32)
        grid = None if times.each is None else (times.each, self.bands)
        return Layout(lengths, grid=grid, positions=positions)

    def forward(self, view: View) -> Encoding:
        batch, layout = self.featured(view.batch), view.layout
        assert batch.features is not None
        assert layout.positions is not None
        tokens = self.inwards(self._patches(batch.features.to(self.inwards.weight.dtype), batch.frames, 0.0))
        positions = sincos(layout.positions, self.width).to(tokens.dtype) * view.placed
        (tokens, positions), present, lengths = self.shown(view, tokens, positions)
        return self.run(self.transformer, tokens + positions, present, lengths, view)

    def moments(self, encoding: Encoding, layout: Layout) -> tuple[Float[Tensor, "moments width"], Lengths]:
        """The mean over the bands of each moment."""
        tokens, lengths = super().moments(encoding, layout)
        means = reduce(tokens, "(moments bands) width -> moments width", "mean", bands=self.bands)
        return means, lengths.map(lambda number: number // self.bands)

    def _patches(self, features: Tensor, frames: Lengths | None, fill: float) -> Float[Tensor, "tokens content"]:
        assert frames is not None
        index, beyond = stack_index(frames, stacked_lengths(frames, self.frames), self.frames)
        columns = stack_frames(features, index, beyond, fill)
        return rearrange(
            columns, "times (frames bands channels) -> (times bands) (frames channels)", frames=self.frames, bands=self.bands
        )

    def targets(self, batch: AudioBatch, tokens: Int[Tensor, "asked"]) -> Float[Tensor, "asked channels"]:
        batch = self.featured(batch)
        content = batch.features if batch.content is None else batch.content
        assert content is not None
        return self._patches(content, batch.frames, torch.nan)[tokens]
