"""Features against torchaudio's, clip by clip and as a ragged batch."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from manyviews.lengths import Lengths
from manyviews_speech.batch import AudioBatch
from manyviews_speech.frontend import LOG_FLOOR, Frontend, deltas
from manyviews_speech.spec import FeatureSpec
from manyviews_speech.torchaudio_cpu import load

RATE = 16_000
POINTS = (16_000, 5_137, 24_001, 700)


def clips() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [0.1 * torch.randn(size, generator=generator) for size in POINTS]


def batch(frontend: Frontend, waves: list[torch.Tensor]) -> AudioBatch:
    points = [len(wave) for wave in waves]
    return AudioBatch(torch.cat(waves), Lengths.of(points), frames=Lengths.of([frontend.count(size) for size in points]))


def theirs(kind: str, wave: torch.Tensor) -> torch.Tensor:
    load()
    import torchaudio.compliance.kaldi as kaldi
    import torchaudio.transforms as transforms

    if kind == "logmel":
        mel = transforms.MelSpectrogram(RATE, n_fft=512, win_length=400, hop_length=160, n_mels=80, f_min=20.0)
        return (mel(wave).T + LOG_FLOOR).log()
    options = {"sample_frequency": float(RATE), "dither": 0.0, "low_freq": 20.0, "high_freq": 0.0}
    if kind == "fbank":
        return kaldi.fbank(wave[None], num_mel_bins=80, **options)
    return kaldi.mfcc(wave[None], num_mel_bins=23, num_ceps=13, **options)


@pytest.mark.parametrize("kind", ["logmel", "fbank", "mfcc"])
@pytest.mark.parametrize("together", [False, True])
def test_features_are_torchaudios(kind: str, together: bool) -> None:
    frontend = Frontend(FeatureSpec(kind=kind, channels=13 if kind == "mfcc" else 80), RATE)
    expected = torch.cat([theirs(kind, wave) for wave in clips()])
    batches = [clips()] if together else [[wave] for wave in clips()]
    made = torch.cat([frontend(batch(frontend, waves)).features for waves in batches])
    # Kaldi's products of float32 differ in the last digits from one order of sums to another.
    assert_close(made, expected, rtol=1e-5, atol=1e-4 if kind == "mfcc" else 1e-5)


def test_statistics_of_the_data_and_of_the_clip() -> None:
    mean, std = (1.0,) * 80, (2.0,) * 80
    plain, data = Frontend(FeatureSpec(), RATE), Frontend(FeatureSpec(), RATE, mean, std)
    both = batch(plain, clips())
    assert_close(data(both).features, (plain(both).features - 1) / 2)
    own = Frontend(FeatureSpec(norm="clip"), RATE)(both).features.split(both.frames.tensor.tolist())
    for frames in own:
        assert_close(frames.mean(0), torch.zeros(80), atol=1e-4, rtol=0)
        assert_close(frames.std(0, unbiased=False), torch.ones(80), atol=1e-3, rtol=0)


def test_features_that_are_there_are_kept() -> None:
    frontend = Frontend(FeatureSpec(), RATE)
    made = frontend(batch(frontend, clips()))
    assert frontend(made) is made
    assert made.altered(made.wave * 2).features is None


def test_deltas_are_torchaudios() -> None:
    torchaudio = load()
    frames = Lengths.of([9, 3, 1])
    features = torch.randn(13, 5, generator=torch.Generator().manual_seed(0))
    expected = [torchaudio.functional.compute_deltas(part.T).T for part in features.split([9, 3, 1])]
    assert_close(deltas(features, frames), torch.cat(expected))
