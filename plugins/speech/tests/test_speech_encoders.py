"""Encoders of sound: a clip's tokens are the same in any company, hidden tokens do not show, content is what was there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from manyviews.lengths import Lengths
from manyviews.mask import Mask
from manyviews.view import View
from manyviews_speech.conformer import Conformer
from manyviews_speech.conv import ConvEncoder
from manyviews_speech.convolutions import ConvPositions, RaggedConv
from manyviews_speech.encoder import AudioEncoder, pooled
from manyviews_speech.frontend import deltas
from manyviews_speech.patches import PatchTransformer
from manyviews_speech.source import AudioSource
from manyviews_speech.spec import FeatureSpec
from manyviews_speech.transformer import FrameTransformer
from manyviews_speech.wav2vec2 import Wav2Vec2, scaled_gradient, token_count

SMALL = {"width": 16, "depth": 2, "dropout": 0.0}
ENCODERS = {
    "conformer": lambda spec: Conformer(spec, **SMALL, heads=2, kernel=5),
    "conv": lambda spec: ConvEncoder(spec, **SMALL, kernel=3),
    "patches": lambda spec: PatchTransformer(spec, **SMALL, heads=2, frames=8),
    "patches replaced": lambda spec: PatchTransformer(spec, **SMALL, heads=2, hide="replace"),
    "transformer": lambda spec: FrameTransformer(spec, **SMALL, heads=2),
    "transformer dropping": lambda spec: FrameTransformer(spec, **SMALL, heads=2, hide="drop", stack=3),
    "wav2vec2": lambda spec: Wav2Vec2(spec, **SMALL, heads=2, channels=16, position_kernel=8),
}


@pytest.fixture
def source(sounds: Path) -> AudioSource:
    return AudioSource(path=sounds, rate=None)


@pytest.fixture(params=ENCODERS)
def encoder(request: pytest.FixtureRequest, source: AudioSource) -> AudioEncoder:
    torch.manual_seed(0)
    return ENCODERS[request.param](source.spec).eval()


def encode(encoder: AudioEncoder, source: AudioSource, index: list[int], layers: bool = False):
    batch = source.batch(np.array(index))
    return encoder(View(batch, encoder.layout(batch), layers=layers))


def test_a_clip_is_encoded_the_same_in_any_company(encoder: AudioEncoder, source: AudioSource) -> None:
    both, alone = encode(encoder, source, [3, 0, 4]), encode(encoder, source, [0])
    at = both.lengths.tensor[0]
    assert_close(both.tokens[at : at + alone.lengths.total], alone.tokens, atol=1e-5, rtol=1e-4)
    assert_close(both.pooled[1], alone.pooled[0], atol=1e-5, rtol=1e-4)
    assert both.pooled.shape == (3, encoder.pooled_width)
    assert both.tokens.shape == (encoder.layout(source.batch(np.array([3, 0, 4]))).lengths.total, encoder.width)


def test_what_is_hidden_does_not_show(encoder: AudioEncoder, source: AudioSource) -> None:
    """Other sound at hidden tokens changes nothing: seen where every frame that a hidden token touches is another."""
    batch = source.batch(np.array([4, 0]))
    layout = encoder.layout(batch)
    hidden = Mask((layout.positions[:, 0] >= layout.positions[:, 0].max() // 2)[None])
    seen = encoder(View(batch, layout, hidden))
    first = layout.lengths.tensor[0]
    if isinstance(encoder, Wav2Vec2):
        # Neighbouring convolutions overlap at their edges, in the papers too: the second half of the hidden part is changed.
        late = (batch.points.places() > 320 * (2 + int(layout.positions[:, 0].max()) // 2)) & (batch.points.owners() == 0)
        other = batch.altered(torch.where(late, -batch.wave, batch.wave))
    else:
        frames = batch.frames
        start = int(layout.positions[:, 0].max()) // 2 * getattr(encoder, "stack", getattr(encoder, "stride", 8))
        start = max(start, int(layout.positions[:, 0].max()) // 2 * getattr(encoder, "frames", 0))
        late = (frames.places() >= start) & (frames.owners() == 0)
        other = replace(batch, features=torch.where(late[:, None], -batch.features, batch.features))
    unseen = encoder(View(other, layout, hidden))
    assert_close(unseen.tokens, seen.tokens, atol=1e-5, rtol=1e-4)
    whole = encoder(View(other, layout))
    assert not torch.allclose(whole.tokens[:first], encoder(View(batch, layout)).tokens[:first], atol=1e-4)


def test_gradients_reach_every_parameter(encoder: AudioEncoder, source: AudioSource) -> None:
    batch = source.batch(np.arange(4))
    layout = encoder.layout(batch)
    encoding = encoder(View(batch, layout, Mask((torch.rand(layout.lengths.total) < 0.3)[None])))
    encoding.pooled.square().sum().backward()
    without = {name for name, parameter in encoder.named_parameters() if parameter.grad is None}
    assert without <= ({"mask"} if encoder.hide == "drop" else set())


def test_layers_end_in_the_tokens(encoder: AudioEncoder, source: AudioSource) -> None:
    encoding = encode(encoder, source, [0, 1], layers=True)
    assert len(encoding.layers) == 2
    assert_close(encoding.layers[-1], encoding.tokens)
    assert_close(encoding.tokens, encode(encoder, source, [0, 1]).tokens)


def test_content_is_the_features_of_a_token(source: AudioSource) -> None:
    batch = source.batch(np.array([4, 0]))
    frames = batch.frames.tensor.tolist()
    encoder = FrameTransformer(source.spec, **SMALL, heads=2, stack=4)
    count = -(-frames[0] // 4)
    content = encoder.targets(batch, torch.tensor([0, count - 1, count]))
    assert_close(content[0], batch.features[:4].flatten())
    last = batch.features[4 * (count - 1) : frames[0]].flatten()
    assert_close(content[1, : len(last)], last)
    assert content[1, len(last) :].isnan().all()
    assert_close(content[2], batch.features[frames[0] : frames[0] + 4].flatten())
    patches = PatchTransformer(source.spec, **SMALL, heads=2, frames=8, channels=16)
    content = patches.targets(batch, torch.tensor([5 + 2]))
    assert_close(content[0], batch.features[8:16, 32:48].flatten())


def test_content_of_waveform_tokens_is_mfcc_with_slopes(sounds: Path) -> None:
    source = AudioSource(path=sounds, rate=None, features=FeatureSpec(kind="mfcc", channels=13))
    encoder = ENCODERS["wav2vec2"](source.spec)
    batch = source.batch(np.array([1, 2]))
    content = encoder.targets(batch, torch.tensor([3]))
    first = deltas(batch.features, batch.frames)
    every = torch.cat([batch.features, first, deltas(first, batch.frames)], dim=1)
    assert encoder.target_channels == 39
    assert_close(content[0], every[(3 * 320 + 200) // 80])


@pytest.mark.parametrize("points", [400, 719, 720, 16_000, 5_137])
def test_tokens_are_counted_as_torchaudio_makes_them(points: int, source: AudioSource) -> None:
    encoder = ENCODERS["wav2vec2"](source.spec)
    made, _ = encoder.extractor(torch.randn(1, points), None)
    assert made.shape[1] == token_count(points)


def test_ragged_convolutions_are_those_of_each_clip_alone() -> None:
    lengths = Lengths.of([9, 2, 5])
    tokens = torch.randn(16, 4)
    for conv in (
        RaggedConv(4, 6, 3),
        RaggedConv(4, 6, 7, groups=2),
        RaggedConv(4, 6, 9, stride=4),
        RaggedConv(4, 6, 5, stride=2),
    ):
        alone = [conv(part, Lengths.of([len(part)])) for part in tokens.split([9, 2, 5])]
        assert_close(conv(tokens, lengths), torch.cat(alone))
        assert len(conv(tokens, lengths)) == conv.lengths(lengths).total
    same = RaggedConv(4, 6, 3)
    padded = torch.nn.functional.conv1d(tokens[:9].T[None], same.conv.weight, same.conv.bias, padding=1)[0].T
    assert_close(same(tokens, lengths)[:9], padded)
    assert ConvPositions(16, 8)(torch.randn(16, 16), lengths).shape == (16, 16)


def test_mean_and_deviation_of_clips_of_any_length() -> None:
    lengths, tokens = Lengths.of([4, 1]), torch.randn(5, 3, requires_grad=True)
    made = pooled(tokens, lengths, "mean_std")
    assert_close(made[0, :3], tokens[:4].mean(0))
    assert_close(made[0, 3:], tokens[:4].std(0, unbiased=False), atol=1e-4, rtol=1e-3)
    made.sum().backward()
    assert tokens.grad.isfinite().all()


def test_quarters_of_clips_of_any_length() -> None:
    lengths, tokens = Lengths.of([8, 1, 6, 3]), torch.randn(18, 3, requires_grad=True)
    made = pooled(tokens, lengths, "quarters")
    assert_close(made[0], tokens[:8].reshape(4, 2, 3).mean(1).flatten())
    assert_close(made[1], tokens[8].repeat(4))
    six = tokens[9:15]
    assert_close(made[2], torch.cat([six[:2].mean(0), six[1:3].mean(0), six[3:5].mean(0), six[4:].mean(0)]))
    made.sum().backward()
    assert tokens.grad.isfinite().all()


def test_a_scaled_gradient_leaves_the_value() -> None:
    x = torch.randn(5, requires_grad=True)
    y = scaled_gradient(x, 0.1)
    assert_close(y, x)
    y.sum().backward()
    assert_close(x.grad, torch.full((5,), 0.1))
