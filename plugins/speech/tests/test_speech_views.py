"""Views of sound: what is altered, by how much, and that clips never leak into one another unasked."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from manyviews.errors import UserError
from manyviews.layout import Layout
from manyviews.lengths import Lengths
from manyviews.objective import Branch
from manyviews.objectives.masked_reconstruction import MaskedReconstruction
from manyviews.traits import Trait
from manyviews_speech.batch import AudioBatch
from manyviews_speech.frontend import Frontend
from manyviews_speech.source import AudioSource
from manyviews_speech.spec import AudioSpec, FeatureSpec
from manyviews_speech.transformer import FrameTransformer
from manyviews_speech.views import effects
from manyviews_speech.views.bands import channel_bands, frame_bands
from manyviews_speech.views.channels import NEPERS, Channel, lengthened, mixed, noisy, warped
from manyviews_speech.views.segments import FrameViews, Segments, paced
from manyviews_speech.views.spec_augment import SpecAugment
from manyviews_speech.views.tera import Tera
from manyviews_speech.views.waves import WaveViews


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def source(sounds: Path) -> AudioSource:
    return AudioSource(path=sounds, rate=None, speaker="speaker", partner="speaker")


@pytest.fixture
def encoder(source: AudioSource) -> FrameTransformer:
    return FrameTransformer(source.spec, width=16, depth=1, heads=2, dropout=0.0)


def made(generator, source: AudioSource, encoder: FrameTransformer, seed: int = 0, count: int = 8):
    batch = source.batch(np.arange(count))
    generator.bind(encoder.layout)
    return batch, generator(batch, encoder.layout(batch), seeded(seed))


def test_bands_have_every_width_and_stay_in_their_clip() -> None:
    bands = channel_bands(4000, 20, 8, seeded(), torch.device("cpu"))
    widths = bands.sum(1)
    assert set(widths.tolist()) == set(range(9))
    assert_close(bands.float().mean(0)[6:14].std() / bands.float().mean(), torch.tensor(0.0), atol=0.15, rtol=0)
    frames = Lengths.of([100, 10, 3])
    for seed in range(50):
        where = frame_bands(frames, 40, 0.2, seeded(seed))
        counts = [int(part.sum()) for part in where.split([100, 10, 3])]
        assert all(count <= most for count, most in zip(counts, (20, 2, 0), strict=True))
        edges = where[:100].int().diff().abs().sum()
        assert edges <= 2, "one band"


def test_tera_asks_for_what_it_altered(source: AudioSource, encoder: FrameTransformer) -> None:
    batch, (view,) = made(Tera(source.spec, channels=8), source, encoder)
    asked = ~view.batch.content.isnan()
    assert_close(view.batch.content[asked], batch.features[asked])
    changed = view.batch.features != batch.features
    assert (asked | ~changed).all(), "what is altered is asked for"
    whole_frames = asked.all(1)
    assert 0.08 < whole_frames.float().mean() < 0.35
    loss = MaskedReconstruction(loss="l1", depth=0)
    branch = Branch(encoder, torch.nn.Identity(), loss.predictor(encoder, 16), "sample")
    value = loss((view,), branch, None, seeded()).value
    tokens = encoder(view).tokens
    prediction, content = branch.predictor.outwards(tokens), encoder.targets(view.batch, torch.arange(len(tokens)))
    known = ~content.isnan()
    assert_close(value, (prediction[known] - content[known]).abs().mean())


def test_teras_clips_are_zeroed_swapped_or_kept(source: AudioSource, encoder: FrameTransformer) -> None:
    kinds = {"zero": 0, "swap": 0, "keep": 0}
    for seed in range(12):
        batch, (view,) = made(Tera(source.spec, channels=0), source, encoder, seed)
        asked = (~view.batch.content.isnan()).all(1)
        sizes = batch.frames.tensor.tolist()
        for new, old, where in zip(
            view.batch.features.split(sizes), batch.features.split(sizes), asked.split(sizes), strict=True
        ):
            same = torch.equal(new[where], old[where])
            kinds["keep" if same else "zero" if (new[where] == 0).all() else "swap"] += 1
            assert torch.equal(new[~where], old[~where])
    assert 60 < kinds["zero"] < 92
    assert 2 <= kinds["swap"] < 24
    assert 2 <= kinds["keep"] < 24


def test_spec_augment_sets_bands_to_the_mean(source: AudioSource, encoder: FrameTransformer) -> None:
    batch, views = made(SpecAugment(source.spec, frames=10, channels=10), source, encoder)
    assert len(views) == 2
    for view in views:
        changed = view.batch.features != batch.features
        assert (view.batch.features[changed] == 0).all()
        assert 0.05 < changed.float().mean() < 0.6
    assert not torch.equal(views[0].batch.features, views[1].batch.features)


def test_segments_show_a_stretch_of_each_clip(source: AudioSource, encoder: FrameTransformer) -> None:
    generator = Segments(source.spec, mixup=0.0, warp=0.0, locals=1, global_crop=(0.5, 0.5), local_crop=(0.25, 0.25))
    batch, views = made(generator, source, encoder)
    assert [view.role for view in views] == ["global", "global", "local"]
    for view, share in zip(views, (0.5, 0.5, 0.25), strict=True):
        sizes = view.batch.frames.tensor.tolist()
        assert sizes == [round(share * size) for size in batch.frames.tensor.tolist()]
        assert torch.equal(view.layout.lengths.tensor, encoder.layout(view.batch).lengths.tensor)
        for part, clip in zip(
            view.batch.features.split(sizes), batch.features.split(batch.frames.tensor.tolist()), strict=True
        ):
            found = [at for at in range(len(clip) - len(part) + 1) if torch.equal(clip[at : at + len(part)], part)]
            assert found, "a stretch of the clip's own frames"
        points, frontend = view.batch.points.tensor.tolist(), encoder.frontend
        assert [frontend.count(size) for size in points] == sizes
        assert sum(points) == len(view.batch.wave)


def test_a_segments_waveform_is_that_of_its_frames(source: AudioSource, encoder: FrameTransformer) -> None:
    _, views = made(Segments(source.spec, mixup=0.0, warp=0.0, global_crop=(0.5, 0.5)), source, encoder)
    again = encoder.frontend(replace(views[0].batch, features=None)).features
    sizes = views[0].batch.frames.tensor.tolist()
    for new, old in zip(again.split(sizes), views[0].batch.features.split(sizes), strict=True):
        assert_close(new[4:-4], old[4:-4], atol=1e-3, rtol=1e-3)  # at the ends the cut clip mirrors itself


def test_frame_views_stay_aligned_and_local_ones_hide(source: AudioSource, encoder: FrameTransformer) -> None:
    batch, views = made(FrameViews(source.spec, hidden=0.5, span=2), source, encoder, count=24)
    assert [view.hidden is None for view in views] == [True, True, False, False]
    assert all(view.batch.features.shape == batch.features.shape for view in views)
    shares = [view.hidden.where.float().mean() for view in views[2:]]
    assert_close(sum(shares) / 2, torch.tensor(0.5), atol=0.1, rtol=0)


def test_mixup_adds_powers(source: AudioSource, encoder: FrameTransformer) -> None:
    batch, frontend = source.batch(np.arange(6)), encoder.frontend
    raw = frontend.unstandardised(batch.features)
    assert_close(mixed(raw, batch.frames, 1e-9, seeded()), raw, atol=1e-4, rtol=1e-4)
    made = mixed(raw, batch.frames, 0.4, seeded()).exp()
    own = frontend.unstandardised(batch.features).exp()
    assert (made >= 0.6 * own * 0.999).all()
    assert not torch.allclose(made, own)


def test_warp_moves_channels_and_never_time(source: AudioSource) -> None:
    frames = Lengths.of([3, 5])
    ramp = torch.arange(40.0).expand(8, 40)
    bent = warped(ramp, frames, 0.1, seeded())
    assert_close(bent[:3], bent[:1].expand(3, 40))
    slope = bent[0].diff()[5:30]
    assert_close(slope, slope[:1].expand(25), atol=1e-3, rtol=1e-3)
    assert 0.85 < slope[0] < 1.15
    assert not torch.equal(bent[0], bent[3])
    assert_close(warped(ramp, frames, 0.0, seeded()), ramp)


def test_a_shorter_throat_raises_all_frequencies_by_one_factor() -> None:
    features = FeatureSpec(channels=64, low=0.0)
    frontend, hertz = Frontend(features, 8000), 1000.0
    time = torch.arange(4000) / 8000
    points = Lengths.of([4000])
    frames = points.map(frontend.count)
    tone, higher = (frontend.raw(torch.sin(2 * math.pi * f * time), points, frames) for f in (hertz, hertz / 0.85))
    assert abs(frontend.centres[tone[10].argmax()] - hertz) < 40
    twins = Lengths.of([len(tone)] * 200)
    made = lengthened(tone.repeat(200, 1), twins, frontend.centres, 0.15, seeded()).unflatten(0, (200, -1))
    assert_close(made[:, 5], made[:, 15], atol=0.2, rtol=0.2)  # time stays
    peaks = frontend.centres[made[:, 10].argmax(1)]
    assert 820 < peaks.min() < 920, "1000 / 1.15 is 870"
    assert 1080 < peaks.max() < 1240, "1000 / .85 is 1176"
    assert (higher[10].argmax() - made[peaks.argmax(), 10].argmax()).abs() <= 1, "as that sound's own spectrum"
    assert_close(lengthened(tone, frames, frontend.centres, 0.0, seeded()), tone, atol=1e-3, rtol=1e-3)
    with pytest.raises(UserError, match="cepstral coefficients are no frequencies"):
        Segments(AudioSpec(rate=8000, features=FeatureSpec(kind="mfcc", channels=13)), throat=0.1)


@pytest.mark.parametrize("norm", ["data", "level"])
def test_another_tempo_leaves_the_spectrum(sounds: Path, norm: str) -> None:
    source = AudioSource(path=sounds, rate=None, features=FeatureSpec(norm=norm))
    batch, frontend = source.batch(np.arange(5)), Frontend.of(source.spec)
    slow = paced(batch, frontend, 1.25)
    assert slow.frames.on_host() == [round(1.25 * number) for number in batch.frames.on_host()]
    assert len(slow.features) == slow.frames.total
    assert len(slow.wave) == slow.points.total
    assert slow.points.on_host() == [frontend.points(number) for number in slow.frames.on_host()]
    for old, new in zip(batch.features.split(batch.frames.on_host()), slow.features.split(slow.frames.on_host()), strict=True):
        assert_close(new.mean(0), old.mean(0), atol=0.15, rtol=0)
        if norm == "data":
            assert torch.equal(new[0], old[0])
            assert_close(new[-1], old[-1])
        else:
            assert_close(torch.stack([new.mean(), new.std(unbiased=False)]), torch.tensor([0.0, 1.0]), atol=1e-4, rtol=0)
    ramp = replace(batch, features=batch.frames.places()[:, None].float().expand(-1, 80))
    told = paced(ramp, Frontend(FeatureSpec(), source.spec.rate), 0.8)
    part = told.features[: int(told.frames.tensor[0]), 0]
    assert_close(part.diff(), part.diff()[:1].expand(len(part) - 1), atol=1e-3, rtol=0)
    assert part[-1] == batch.frames.tensor[0] - 1


def test_views_of_other_throats_and_tempos_are_whole(source: AudioSource, encoder: FrameTransformer) -> None:
    _, views = made(Segments(source.spec, mixup=0.0, warp=0.0, throat=0.15, tempo=0.2), source, encoder)
    totals = {view.batch.frames.total for view in views}
    assert len(totals) == 2, "each view has its own tempo"
    for view in views:
        assert len(encoder(view).tokens) == view.layout.lengths.total
        assert torch.isfinite(view.batch.features).all()


def test_sounds_are_added_at_the_ratio_asked_for() -> None:
    points = Lengths.of([4000, 2500])
    wave, other = torch.randn(6500) * 0.1, torch.randn(6500)
    both = effects.added(wave, points, other, torch.tensor([20.0, 0.0]))
    for part, clip, decibels in zip((both - wave).split([4000, 2500]), wave.split([4000, 2500]), (20.0, 0.0), strict=True):
        ratio = 10 * (clip.square().mean() / part.square().mean()).log10()
        assert_close(ratio, torch.tensor(decibels), atol=0.01, rtol=0.01)
    silent = effects.added(torch.zeros(6500), points, other, torch.zeros(2))
    assert silent.isfinite().all()


def test_pink_noise_falls_with_frequency() -> None:
    spectrum = torch.fft.rfft(effects.noise(Lengths.of([2**15]), 1.0, seeded())).abs().square()
    assert_close((spectrum[100:200].mean() / spectrum[1000:2000].mean()).log10(), torch.tensor(1.0), atol=0.15, rtol=0)


def test_a_room_echoes_behind_each_clip_alone() -> None:
    points = Lengths.of([8000, 5000])
    wave = torch.zeros(13_000)
    wave[[100, 8100]] = 1.0
    made = effects.reverberated(wave, points, 8000, torch.tensor([0.3, 0.05]), seeded())
    assert made[:100].abs().max() < 1e-5
    assert made[8000:8100].abs().max() < 1e-5, "no echo of the clip before"
    late = [part[1500:2500].square().sum() / part.square().sum() for part in made.split([8000, 5000])]
    assert late[0] > 10 * late[1]
    for part, clip in zip(made.split([8000, 5000]), wave.split([8000, 5000]), strict=True):
        assert_close(part.square().mean(), clip.square().mean(), atol=1e-6, rtol=1e-3)


def test_speed_and_pitch() -> None:
    time = torch.arange(8000) / 8000
    wave, points = torch.sin(2 * torch.pi * 400 * time), Lengths.of([8000])
    fast, lengths = effects.sped(wave, points, 11)
    assert lengths.on_host() == [7273]
    assert torch.fft.rfft(fast).abs().argmax() == pytest.approx(400, abs=1)  # 400 cycles, in 10/11 of the time
    higher = effects.pitched(wave, points, 8000, 12)
    assert len(higher) == 8000
    assert torch.fft.rfft(higher).abs().argmax() == pytest.approx(800, abs=10)
    assert effects.sped(wave, points, 10)[0] is wave


def test_wave_views_leave_features_to_be_made_anew(source: AudioSource, encoder: FrameTransformer) -> None:
    generator = WaveViews(source.spec, mix=(5.0, 10.0), reverb=(0.1, 0.3))
    batch, views = made(generator, source, encoder)
    assert generator.gives == {Trait.SEVERAL_VIEWS, Trait.ALIGNED_TOKENS}
    for view in views:
        assert view.batch.features is None
        assert view.batch.wave.shape == batch.wave.shape
        assert encoder(view).tokens.isfinite().all()


def test_views_of_other_speeds_and_partners_have_their_own_tokens(source: AudioSource, encoder: FrameTransformer) -> None:
    generator = WaveViews(source.spec, speeds=(9, 11), partner=True, noise=None, gain=None)
    assert generator.gives == {Trait.SEVERAL_VIEWS}
    batch, views = made(generator, source, encoder)
    for view in views:
        assert torch.equal(view.layout.lengths.tensor, encoder.layout(view.batch).lengths.tensor)
        assert encoder(view).tokens.isfinite().all()
    assert len(views[1].batch) == len(batch)
    plain = AudioSource(path=source._path, rate=None)
    generator.bind(encoder.layout)
    with pytest.raises(UserError, match="the batches hold no partners"):
        generator(plain.batch(np.arange(4)), encoder.layout(plain.batch(np.arange(4))), seeded())


def test_views_of_features_that_are_not_there_are_refused(sounds: Path) -> None:
    source = AudioSource(path=sounds, rate=None, features=None)
    with pytest.raises(UserError, match=r"the data have none \(`data\.features: null`\)"):
        Tera(source.spec)(source.batch(np.arange(2)), Layout(Lengths.of([2, 2])), seeded())


def test_a_batch_moves_with_all_its_parts(source: AudioSource) -> None:
    batch = source.batch(np.arange(3))
    assert batch.to(torch.device("cpu")) is batch
    there = batch.to(torch.device("meta"))
    assert isinstance(there, AudioBatch)
    assert {part.device.type for part in (there.wave, there.features, there.points.tensor, there.others.wave)} == {"meta"}


def test_other_microphones_change_the_spectrum_and_not_the_clip(source: AudioSource, encoder: FrameTransformer) -> None:
    batch = source.batch(np.arange(4))
    frontend = Frontend.of(source.spec)
    tilted = Channel(0.0, 0.0, 6.0, None)(batch, frontend, seeded())
    difference = frontend.unstandardised(tilted.features) - frontend.unstandardised(batch.features)
    for part in difference.split(batch.frames.on_host()):
        assert_close(part, part[:1].expand_as(part), atol=1e-3, rtol=0)  # one gain for all frames of a clip
        assert_close(part[0].mean(), torch.tensor(0.0), atol=1e-3, rtol=0)
    assert 1 < difference.std() / NEPERS < 15, "decibels"
    assert tilted.wave is batch.wave
    assert Channel(0.0, 0.0, 0.0, None)(batch, frontend, seeded()) is batch


def test_noise_is_so_far_below_the_loudest_cell(source: AudioSource) -> None:
    batch = source.batch(np.arange(4))
    raw = Frontend.of(source.spec).unstandardised(batch.features)
    low = noisy(raw, batch.frames, (60.0, 60.0), seeded())
    high = noisy(raw, batch.frames, (10.0, 10.0), seeded())
    assert (high >= raw).all()
    assert high.amin() > low.amin() + 5
    assert_close(low.amax(), raw.amax(), atol=0.05, rtol=0)


def test_the_content_asked_for_is_unaltered(source: AudioSource, encoder: FrameTransformer) -> None:
    batch, views = made(FrameViews(source.spec, tilt=6.0), source, encoder)
    for view in views:
        assert torch.equal(view.batch.content, batch.features)
        assert not torch.allclose(view.batch.features, batch.features)


def test_segments_of_partners(sounds: Path, encoder: FrameTransformer) -> None:
    source = AudioSource(path=sounds, rate=None, speaker="speaker", partner="speaker")
    whole = {"global_crop": (1.0, 1.0), "mixup": 0.0, "warp": 0.0, "partner": True}
    batch, views = made(Segments(source.spec, **whole), source, encoder)
    assert torch.equal(views[0].batch.features, batch.features)
    assert torch.equal(views[1].batch.features, batch.others.features)
