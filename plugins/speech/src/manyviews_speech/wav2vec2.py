"""Waveforms to tokens of 20 ms: the encoder of wav2vec 2.0 (Baevski et al. 2020) and HuBERT (Hsu et al. 2021).

The convolutions over the waveform are torchaudio's, in the form that normalises each token by itself: the `base`
models' group norm runs over time, so that a clip's features would depend on how far it is padded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from jaxtyping import Float, Int
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from manyviews.encoding import Encoding
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.nets.transformer import Transformer
from manyviews.traits import Trait
from manyviews.view import View
from manyviews_speech.batch import AudioBatch
from manyviews_speech.convolutions import ConvPositions
from manyviews_speech.encoder import AudioEncoder, Hide, Pool
from manyviews_speech.frontend import deltas
from manyviews_speech.spec import AudioSpec
from manyviews_speech.torchaudio_cpu import load

KERNELS = ((10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2))
"""(kernel, stride) of the convolutions: 320 samples from token to token, 400 seen by each."""
STRIDE, SEEN = 320, 400


class Wav2Vec2(AudioEncoder):
    """Convolutions over the waveform, a mask, and a Transformer with convolutional positions.

    `targets` are the features, where the data have any, in the middle of each token; of MFCC with their slopes and the slopes
    of those, which HuBERT's first clusters are made of.

    Args:
        width: Width of a token.
        depth: Transformer blocks.
        heads: Attention heads.
        channels: Channels of the convolutions over the waveform.
        dropout: Dropout.
        position_kernel: Tokens that the convolutional positions see.
        feature_gradient: Factor of the gradient that reaches the convolutions over the waveform.
        hide: Hidden tokens are replaced by a learned vector, or dropped.
        pool: What stands for a clip: the mean of its tokens, mean and standard deviation, or the means of its four quarters.
    """

    offers = AudioEncoder.offers | {Trait.LOCAL_TOKENS}

    def __init__(
        self,
        spec: AudioSpec,
        /,
        *,
        width: PositiveInt = 768,
        depth: PositiveInt = 12,
        heads: PositiveInt = 12,
        channels: PositiveInt = 512,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1,
        position_kernel: PositiveInt = 128,
        feature_gradient: Annotated[float, Field(ge=0)] = 0.1,
        hide: Hide = "replace",
        pool: Pool = "mean",
    ) -> None:
        super().__init__(spec, width=width, pool=pool, hide=hide)
        self.feature_gradient, self.local_width = feature_gradient, channels
        self.slopes = spec.features is not None and spec.features.kind == "mfcc"
        if spec.features is not None:
            self.target_channels = spec.features.channels * (3 if self.slopes else 1)
        self.extractor = _extractor(channels)
        self.norm = nn.LayerNorm(channels)
        self.inwards = nn.Linear(channels, width)
        self.drop = nn.Dropout(dropout)
        self.positions = ConvPositions(width, position_kernel, groups=16 if width % 16 == 0 else 1)
        self.transformer = Transformer(width, depth, heads, dropout=dropout)

    def layout(self, batch: AudioBatch) -> Layout:
        lengths = batch.points.map(token_count)
        grid = None if lengths.each is None else (lengths.each,)
        return Layout(lengths, grid=grid, positions=lengths.places()[:, None].to(torch.float32))

    def forward(self, view: View) -> Encoding:
        local = self.local(view.batch, view.layout.lengths)
        tokens = self.inwards(self.norm(local))
        # Positions are read off what is shown: with the mask vector at hidden tokens.
        (tokens,), present, lengths = self.shown(view, tokens)
        tokens = self.drop(tokens + self.positions(tokens, lengths))
        encoding = self.run(self.transformer, tokens, present, lengths, view)
        return Encoding(encoding.tokens, present, lengths, encoding.pooled, encoding.layers, local if view.layers else None)

    def local(self, batch: AudioBatch, lengths: Lengths) -> Float[Tensor, "tokens channels"]:
        """What the convolutions make of the waveform, nothing withheld."""
        padded = batch.points.pad(batch.wave.to(self.norm.weight.dtype))
        made, _ = self.extractor(padded, None)
        local: Tensor = lengths.unpad(made[:, : lengths.longest])
        if self.training and self.feature_gradient != 1.0:
            local = scaled_gradient(local, self.feature_gradient)
        return local

    def targets(self, batch: AudioBatch, tokens: Int[Tensor, "asked"]) -> Float[Tensor, "asked channels"]:
        if self.frontend is None:
            return super().targets(batch, tokens)
        batch = self.featured(batch)
        features, frames = batch.features if batch.content is None else batch.content, batch.frames
        assert features is not None
        assert frames is not None
        if self.slopes:
            first = deltas(features, frames)
            features = torch.cat([features, first, deltas(first, frames)], dim=1)
        lengths = batch.points.map(token_count)
        owners, places = lengths.owners()[tokens], lengths.places()[tokens]
        frame = torch.minimum((places * STRIDE + SEEN // 2) // self.frontend.hop, frames.tensor[owners] - 1)
        return features[frames.starts()[owners] + frame]


def token_count(points: int) -> int:
    """Tokens of a clip of so many samples."""
    for kernel, stride in KERNELS:
        points = max((points - kernel) // stride + 1, 0)
    return points


def scaled_gradient(x: Float[Tensor, "*shape"], factor: float) -> Float[Tensor, "*shape"]:
    """`x`, through which only `factor` of the gradient goes back."""
    return x * factor + x.detach() * (1 - factor)


def _extractor(channels: int) -> nn.Module:
    """torchaudio's feature extractor, each layer's output normalised token by token."""
    layers: list[tuple[int, int, int]] = [(channels, kernel, stride) for kernel, stride in KERNELS]
    least: Mapping[str, Any] = {
        "encoder_embed_dim": 16,
        "encoder_projection_dropout": 0.0,
        "encoder_pos_conv_kernel": 2,
        "encoder_pos_conv_groups": 1,
        "encoder_num_layers": 1,
        "encoder_num_heads": 1,
        "encoder_attention_dropout": 0.0,
        "encoder_ff_interm_features": 16,
        "encoder_ff_interm_dropout": 0.0,
        "encoder_dropout": 0.0,
        "encoder_layer_norm_first": True,
        "encoder_layer_drop": 0.0,
        "aux_num_out": None,
    }
    load()
    from torchaudio.models import wav2vec2_model

    # torchaudio gives the extractor as a part of a whole model alone; the rest of it is made as small as can be and let go.
    model = wav2vec2_model("layer_norm", layers, extractor_conv_bias=False, **least)
    extractor: nn.Module = model.feature_extractor
    return extractor
