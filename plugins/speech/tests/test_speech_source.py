"""Sounds in: lists, slices, rates, channels, splits; and everything that can be wrong with files."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.testing import assert_close

from manyviews.errors import DataError
from manyviews_speech.batch import AudioBatch
from manyviews_speech.source import AudioSource
from manyviews_speech.spec import FeatureSpec
from manyviews_speech.synth import RATE, tone
from manyviews_speech.torchaudio_cpu import load


def test_a_manifest_is_read_with_its_labels_and_splits(sounds: Path) -> None:
    source = AudioSource(path=sounds, rate=None, target="note", splits="split")
    assert len(source) == 30
    assert source.spec.rate == RATE
    labels = source.labels()
    assert labels.classes == ("a", "b", "c")
    assert list(labels.values[:4]) == [0, 1, 2, 0]
    assert list(source.splits()[::3]) == ["train", "train", "valid", "test"] * 2 + ["train", "train"]
    batch = source.batch(np.array([4, 0]))
    expected = [soundfile.read(sounds.parent / name, dtype="float32")[0] for name in ("bob-4.wav", "ada-0.wav")]
    assert_close(batch.wave, torch.from_numpy(np.concatenate(expected)))
    assert batch.points.tensor.tolist() == [len(part) for part in expected]
    assert batch.features.shape == (batch.frames.total, 80)


def test_features_are_standardised_on_training_clips(sounds: Path) -> None:
    source = AudioSource(path=sounds, target="note", splits="split")
    train = source.batch(np.flatnonzero(source.splits() == "train"))
    assert_close(train.features.mean(0), torch.zeros(80), atol=1e-3, rtol=0)
    assert_close(train.features.std(0), torch.ones(80), atol=1e-2, rtol=0)


def test_a_clip_is_the_same_whatever_it_is_batched_with(sounds: Path) -> None:
    source = AudioSource(path=sounds)
    alone, together = source.batch(np.array([7])), source.batch(np.arange(30))
    assert_close(alone.features, together.features.split(together.frames.tensor.tolist())[7])
    late = AudioSource(path=sounds, features_when="needed").batch(np.arange(30))
    assert late.features is None
    assert late.frames.tensor.equal(together.frames.tensor)


def test_other_rates_are_resampled_as_torchaudio_does(sounds: Path) -> None:
    source = AudioSource(path=sounds, rate=16_000)
    wave = torch.from_numpy(soundfile.read(sounds.parent / "ada-1.wav", dtype="float32")[0])
    assert_close(source.batch(np.array([1])).wave, load().functional.resample(wave, RATE, 16_000))
    assert source.sizes()[1] == pytest.approx(len(wave) / RATE)


def test_long_recordings_are_cut_and_their_pieces_stay_together(tmp_path: Path) -> None:
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.flac", tone(300.0, 5.3), RATE)
    source = AudioSource(path=tmp_path, rate=None, chunk=1.0, splits={"test": 0.5})
    assert len(source) == 12
    assert source.sizes().max() == 1.0
    whole = soundfile.read(tmp_path / "a.flac", dtype="float32")[0]
    assert_close(source.batch(np.arange(6)).wave, torch.from_numpy(whole))
    assert sorted(source.splits()) == ["test"] * 6 + ["train"] * 6
    assert len(set(source.splits()[:6])) == 1


def test_parts_that_a_manifest_names(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(300.0, 2.0), RATE)
    (tmp_path / "m.jsonl").write_text(json.dumps({"path": "a.wav", "start": 0.5, "end": 1.25}) + "\n")
    source = AudioSource(path=tmp_path / "m.jsonl", rate=None)
    assert_close(
        source.batch(np.array([0])).wave, torch.from_numpy(soundfile.read(tmp_path / "a.wav", dtype="float32")[0][4000:10000])
    )
    (tmp_path / "m.jsonl").write_text(json.dumps({"path": "a.wav", "start": 1.5, "end": 2.5}) + "\n")
    with pytest.raises(DataError, match=r"row 1: asks for 1\.5 to 2\.5 s of .*a\.wav, which is 2 s long"):
        AudioSource(path=tmp_path / "m.jsonl")


def test_kaldi_folders(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(300.0, 2.0), RATE)
    (tmp_path / "wav.scp").write_text("rec1 a.wav\n")
    (tmp_path / "segments").write_text("u1 rec1 0.0 0.8\nu2 rec1 0.8 2.0\n")
    (tmp_path / "utt2spk").write_text("u1 ada\nu2 bob\n")
    source = AudioSource(path=tmp_path, rate=None, target="speaker")
    assert source.labels().classes == ("ada", "bob")
    np.testing.assert_allclose(source.sizes(), [0.8, 1.2])
    (tmp_path / "wav.scp").write_text("rec1 sox a.wav -t wav - |\n")
    with pytest.raises(DataError, match="rec1: commands are not run"):
        AudioSource(path=tmp_path)


def test_channels(tmp_path: Path) -> None:
    left, right = tone(300.0, 0.5), tone(400.0, 0.5)
    soundfile.write(tmp_path / "s.wav", np.stack([left, right], 1), RATE, subtype="FLOAT")
    mean = AudioSource(path=tmp_path / "s.wav", rate=None).batch(np.array([0])).wave
    assert_close(mean, torch.from_numpy((left + right) / 2))
    first = AudioSource(path=tmp_path / "s.wav", rate=None, mono="first").batch(np.array([0])).wave
    assert_close(first, torch.from_numpy(left))
    with pytest.raises(DataError, match=r"s\.wav: 2 channels, and `data\.mono: refuse`"):
        AudioSource(path=tmp_path / "s.wav", mono="refuse")


def test_loudness(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "quiet.wav", 0.01 * tone(300.0, 0.5), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "silent.wav", np.zeros(4000), RATE)
    batch = AudioSource(path=tmp_path, rate=None, level="rms").batch(np.arange(2))
    assert_close(batch.wave[:4000].square().mean().sqrt(), torch.tensor(0.1))
    assert batch.wave[4000:].abs().max() == 0


def test_a_speaker_held_out_and_partners_of_one_speaker(sounds: Path) -> None:
    source = AudioSource(path=sounds, target="note", speaker="speaker", hold_out={"speaker": "bob"}, partner="speaker")
    speakers = np.array([row.split(",")[2] for row in sounds.read_text().splitlines()[1:]])
    assert set(source.splits()[speakers == "bob"]) == {"test"}
    assert "test" not in source.splits()[speakers == "ada"]
    batch = source.batch(np.flatnonzero(source.splits() == "train"))
    assert batch.others is not None
    assert batch.others.speakers.equal(batch.speakers)
    assert not batch.others.wave.equal(batch.wave)
    again = source.batch(np.flatnonzero(source.splits() == "train"))
    assert again.others.wave.equal(batch.others.wave)
    with pytest.raises(DataError, match="speaker 'eve' is of no clips; known: ada, bob"):
        AudioSource(path=sounds, hold_out={"speaker": "eve"})


def test_sound_that_ends_below_the_band_is_told_of(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "low.wav", tone(300.0, 0.5), 8000)
    path = tmp_path / "low.wav"
    (told,) = AudioSource(path=path, rate=16_000).remarks
    assert "are read at 16,000 Hz, so that nothing lies above 4,000 Hz; `data.rate=8000` reads them as they are" in told
    assert len(AudioSource(path=path, rate=16_000, features=None).remarks) == 1
    assert AudioSource(path=path, rate=8000).remarks == ()
    assert AudioSource(path=path, rate=None).remarks == ()
    assert AudioSource(path=path, rate=16_000, features=FeatureSpec(high=4000.0)).remarks == ()
    soundfile.write(tmp_path / "high.wav", tone(300.0, 0.5), 16_000)
    assert AudioSource(path=tmp_path, rate=16_000).remarks == ()


def test_clips_are_called_by_their_files_and_parts(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    soundfile.write(tmp_path / "a" / "one.wav", tone(300.0, 1.25), RATE)
    source = AudioSource(path=tmp_path)
    assert source.names(np.array([0])) == ["a/one.wav"]
    assert AudioSource(path=tmp_path, chunk=0.5).names(np.array([2, 0])) == [
        "a/one.wav 1.000-1.250 s",
        "a/one.wav 0.000-0.500 s",
    ]


def test_a_linked_folder_keeps_the_name_that_the_data_give_it(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data").mkdir()
    soundfile.write(tmp_path / "elsewhere" / "one.wav", tone(300.0, 1.0), RATE)
    (tmp_path / "data" / "in").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "m.csv").write_text("path\nin/one.wav\n")
    (tmp_path / "data" / "events.tsv").write_text("filename\tonset\toffset\tevent_label\nin/one.wav\t0.1\t0.4\tdog\n")
    source = AudioSource(path=tmp_path / "data" / "m.csv", events=tmp_path / "data" / "events.tsv")
    assert source.moment(0) == ("in/one.wav", 0.0)
    assert source.events().known.all()


def test_several_speakers_are_held_out(tmp_path: Path) -> None:
    names = ["ada", "bob", "eve", "ada", "bob", "eve"]
    for number in range(6):
        soundfile.write(tmp_path / f"{number}.wav", tone(300.0, 0.3), RATE)
    (tmp_path / "m.csv").write_text("path,who\n" + "".join(f"{number}.wav,{name}\n" for number, name in enumerate(names)))
    source = AudioSource(path=tmp_path / "m.csv", target="who", hold_out={"who": ["ada", "eve"]})
    assert ((source.splits() == "test") == np.isin(names, ["ada", "eve"])).all()
    with pytest.raises(DataError, match="who 'sue' is of no clips; known: ada, bob, eve"):
        AudioSource(path=tmp_path / "m.csv", hold_out={"who": ["ada", "sue"]})
    with pytest.raises(DataError, match=r"who \['ada', 'bob', 'eve'\] is of all clips; some must stay"):
        AudioSource(path=tmp_path / "m.csv", hold_out={"who": ["ada", "bob", "eve"]})


def test_kaldis_lists_may_have_tabs(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a b.wav", tone(300.0, 0.3), RATE)
    (tmp_path / "wav.scp").write_text(f"u1\t{tmp_path}/a b.wav\n")
    (tmp_path / "utt2spk").write_text("u1 \t ada\n")
    source = AudioSource(path=tmp_path, target="speaker")
    assert source.labels().classes == ("ada",)
    assert source.names(np.array([0])) == ["u1"]
    assert AudioSource(path=tmp_path, chunk=0.15).names(np.array([1])) == ["u1 0.150-0.300 s"]
    (tmp_path / "utt2spk").write_text("u1\n")
    with pytest.raises(DataError, match=r"utt2spk, line 1: 'u1' has nothing behind it; expected `key value`"):
        AudioSource(path=tmp_path, target="speaker")


def test_new_sound_is_read_as_the_spec_says(sounds: Path, tmp_path: Path) -> None:
    source = AudioSource(path=sounds, target="note", level="rms", chunk=0.5)
    soundfile.write(tmp_path / "new.wav", tone(250.0, 1.2), 11_025)
    new = AudioSource.reading(tmp_path / "new.wav", source.spec)
    assert new.spec == source.spec
    assert new.labels() is None
    assert len(new) == 2  # 9,600 samples at 11,025 Hz are 0.87 s: pieces of 0.5 s
    assert AudioSource.reading(sounds, source.spec).labels().classes == ("a", "b", "c")


def test_workers_get_a_source_without_its_cache(sounds: Path) -> None:
    source = AudioSource(path=sounds)
    first = source.batch(np.arange(5))
    copy = pickle.loads(pickle.dumps(source))
    assert not copy._cache
    assert_close(copy.batch(np.arange(5)).features, first.features)


def broken(folder: Path) -> dict[str, bytes]:
    soundfile.write(folder / "whole.wav", tone(300.0, 1.0), RATE)
    soundfile.write(folder / "whole.flac", tone(300.0, 1.0), RATE)
    soundfile.write(folder / "nan.wav", np.array([0.0, 0.1, np.nan] * 1000, np.float32), RATE, subtype="FLOAT")
    soundfile.write(folder / "none.wav", np.zeros(0, np.float32), RATE)
    soundfile.write(folder / "short.wav", tone(300.0, 0.01), RATE)
    soundfile.write(folder / "whole.ogg", tone(300.0, 3.0, rate=16_000), 16_000)
    soundfile.write(folder / "whole.mp3", tone(300.0, 3.0, rate=16_000), 16_000)
    wav, flac, ogg, mp3 = ((folder / f"whole.{kind}").read_bytes() for kind in ("wav", "flac", "ogg", "mp3"))
    return {
        "empty": b"",
        "text": b"this is no sound at all, whatever its name says",
        "half header": wav[:30],
        "truncated": wav[: len(wav) // 2],
        "truncated flac": flac[: len(flac) // 2],
        "truncated ogg": ogg[: len(ogg) // 2],
        "truncated mp3": mp3[: len(mp3) // 2],
        "nan": (folder / "nan.wav").read_bytes(),
        "no samples": (folder / "none.wav").read_bytes(),
        "short": (folder / "short.wav").read_bytes(),
    }


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty", r"bad\.wav: the file is empty \(0 bytes\)"),
        ("text", r"bad\.wav: cannot be read as sound"),
        ("half header", r"bad\.wav: cannot be read as sound"),
        ("truncated", r"bad\.wav: truncated: its header claims 16,044 bytes, the file has 8,022"),
        ("truncated flac", r"bad\.wav: (truncated|cannot be read as sound)"),
        ("truncated ogg", r"bad\.wav: truncated: its last Ogg page is broken off or not the stream's end"),
        ("truncated mp3", r"bad\.wav: truncated: [\d,]+ samples could be read, [\d,]+ are expected"),
        ("nan", r"bad\.wav: sample 2 is NaN or infinite"),
        ("no samples", r"bad\.wav: the file holds no samples"),
        ("short", r"bad\.wav: 80 samples at 8,000 Hz is shorter than one frame of features"),
    ],
)
def test_a_bad_file_is_named_with_its_reason(kind: str, message: str, tmp_path: Path) -> None:
    folder = tmp_path / "sounds"
    folder.mkdir()
    (folder / "bad.wav").write_bytes(broken(tmp_path)[kind])
    soundfile.write(folder / "good.wav", tone(300.0, 1.0), RATE)
    with pytest.raises(DataError, match=message) as error:
        AudioSource(path=folder)
    assert len(str(error.value).splitlines()) <= 2
    source = AudioSource(path=folder, on_error="skip")
    assert len(source) == 1
    assert len(source.skipped) == 1
    assert "bad.wav" in source.skipped[0]


def test_a_file_that_vanishes_in_mid_run(sounds: Path) -> None:
    source = AudioSource(path=sounds, memory=0.0)
    (sounds.parent / "ada-0.wav").unlink()
    with pytest.raises(DataError, match=r"ada-0\.wav: cannot be read as sound; the file is gone since it was listed"):
        source.batch(np.array([0]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"m\.csv: the manifest is empty"),
        ("path,rate\n", r"m\.csv: the manifest has no rows"),
        ("file\na.wav\n", r"m\.csv: there is no column 'path' \(it has: file\)"),
        ("path,frames,rate\na.wav,8000,\n", r"m\.csv, row 1 \(a\.wav\): no rate; fill it in"),
        ("path,frames,rate\na.wav,8000,fast\n", r"row 1: rate is 'fast', expected a number"),
        ("path\nb.wav\n", r"m\.csv, row 1: .*b\.wav: there is no such file\nmend it, or leave it out"),
        ("path,frames,rate\na.wav,9000,8000\n", r"a\.wav: 8,000 samples could be read, 9,000 are listed; correct the list"),
        (
            "path,frames,rate\na.wav,8000,16000\n",
            r"a\.wav: its rate is 8,000 Hz, expected 16,000 Hz as listed; correct the list",
        ),
        ("path,start,end\na.wav,0.5,0.2\n", r"row 1 \(a\.wav\): end 0\.2 s is not after start 0\.5 s"),
        ("path\n\n,\n", r"row 1"),
    ],
)
def test_bad_manifests(text: str, message: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(300.0, 1.0), RATE)
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        AudioSource(path=tmp_path / "m.csv")


def test_what_is_not_sound_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError, match="no sound in this folder"):
        AudioSource(path=tmp_path)
    with pytest.raises(DataError, match=r"notes\.txt: neither sound .* nor a list"):
        AudioSource(path=tmp_path / "notes.txt")
    with pytest.raises(DataError, match=r"data\.path: there is no .*nothing"):
        AudioSource(path=tmp_path / "nothing")


def test_unknown_columns_and_splits(sounds: Path) -> None:
    with pytest.raises(DataError, match=r"row 1: there is no 'nota' \(known: note, speaker, split\) Did you mean `note`"):
        AudioSource(path=sounds, target="nota")
    with pytest.raises(DataError, match="row 1: 'a' is no split"):
        AudioSource(path=sounds, splits="note")


@pytest.mark.realdata
def test_spoken_digits(realdata: Path) -> None:
    source = AudioSource(
        path=realdata / "speech" / "fsdd.tsv", rate=8000, target="label", splits="official_split", fit_clips=50
    )
    assert len(source) == 3000
    assert source.labels().classes == tuple("0123456789")
    assert (source.splits() == "test").sum() == 300
    batch = source.batch(np.arange(16))
    assert batch.features.isfinite().all()


def test_silence_at_the_ends_is_left_out(tmp_path: Path) -> None:
    silence = np.zeros(3000, np.float32)
    loud = tone(300.0, 0.5)
    soundfile.write(tmp_path / "a.wav", np.concatenate([silence, loud, silence]), RATE)
    soundfile.write(tmp_path / "b.wav", silence, RATE)
    soundfile.write(tmp_path / "c.wav", np.concatenate([silence, 0.5 * np.ones(10, np.float32), silence]), RATE)
    source = AudioSource(path=tmp_path, rate=None, trim=30.0)
    batch = source.batch(np.arange(3))
    sizes = batch.points.on_host()
    assert abs(sizes[0] - len(loud)) <= 2 * 0.025 * RATE
    assert sizes[1] == 3000, "of silence nothing is louder than the rest"
    assert sizes[2] >= source._least, "a click is left with as many samples as have a frame"
    assert_close(batch.wave[: sizes[0]].square().sum(), torch.tensor(float((loud**2).sum())), rtol=0.05, atol=0)
    assert batch.frames is not None
    assert encoder_frames(batch) == batch.frames.on_host()
    again = AudioSource.reading(tmp_path, source.spec)
    assert again.batch(np.arange(3)).points.on_host() == sizes, "and so at embed time"


def encoder_frames(batch: AudioBatch) -> list[int]:
    return [1 + points // 80 for points in batch.points.on_host()]


def test_clips_at_one_level_keep_their_spectrum(tmp_path: Path) -> None:
    loud = tone(300.0, 0.5)
    soundfile.write(tmp_path / "a.wav", loud, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "b.wav", 0.1 * loud, RATE, subtype="FLOAT")
    batch = AudioSource(path=tmp_path, rate=None, features=FeatureSpec(norm="level", low=100.0)).batch(np.arange(2))
    assert batch.features is not None
    one, two = batch.features.chunk(2)
    assert_close(one.mean(), torch.tensor(0.0), atol=1e-4, rtol=0)
    assert_close(one.std(unbiased=False), torch.tensor(1.0), atol=1e-4, rtol=0)
    assert one.mean(0).std() > 0.1, "channels are not brought to one mean"
    assert (one - two).abs().mean() < 0.2 < (one - two.roll(7, 1)).abs().mean()
