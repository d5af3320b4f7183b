"""The doctor, the demo's data, and torchaudio's extensions."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from manyviews.errors import UserError
from manyviews_speech import torchaudio_cpu
from manyviews_speech.doctor import examine
from manyviews_speech.plugin import manyviews_doctor
from manyviews_speech.source import AudioSource
from manyviews_speech.synth import RATE, tone, write_instruments


def test_the_doctor_names_every_bad_file(sounds: Path) -> None:
    assert examine(sounds) == []
    folder = sounds.parent
    soundfile.write(folder / "silent.wav", np.zeros(4000), RATE)
    soundfile.write(folder / "clipped.wav", np.sign(tone(200.0, 0.5)), RATE)
    soundfile.write(folder / "eight.wav", tone(200.0, 0.5), RATE, subtype="PCM_U8")
    phase = tone(200.0, 0.5)
    soundfile.write(folder / "phase.wav", np.stack([phase, -phase], axis=1), RATE)
    (folder / "text.wav").write_text("no sound")
    (folder / "half.wav").write_bytes((folder / "ada-0.wav").read_bytes()[:2000])
    found = manyviews_doctor(folder)
    assert len(found) == 6
    for name, said in {
        "silent.wav": "silence",
        "clipped.wav": r"clipped: 100.0% of its samples are at full scale",
        "eight.wav": "8 bits a sample",
        "phase.wav": "two channels cancel out",
        "text.wav": "cannot be read as sound",
        "half.wav": "truncated: its header claims",
    }.items():
        lines = [line for line in found if f"/{name}" in line]
        assert len(lines) == 1, name
        assert said in lines[0]
        assert "\n" not in lines[0]


def test_the_doctor_decodes_more_than_it_listens_to(tmp_path: Path) -> None:
    wave = np.full(61 * 1000, 0.1, np.float32)
    wave[-1] = np.nan
    soundfile.write(tmp_path / "late.wav", wave, 1000, subtype="FLOAT")
    assert examine(tmp_path) == [f"{tmp_path}/late.wav: sample 60,999 is NaN or infinite"]
    soundfile.write(tmp_path / "late.wav", wave, 1000, subtype="FLOAT")
    soundfile.write(tmp_path / "well.flac", wave[:-1], 1000)
    source = AudioSource(path=tmp_path, rate=None, on_error="skip", features=None)
    assert source.skipped == [f"{tmp_path}/late.wav: sample 60,999 is NaN or infinite"]


def test_the_doctor_leaves_what_is_not_sound_to_others(tmp_path: Path) -> None:
    assert examine(tmp_path) is None
    (tmp_path / "table.csv").write_text("a,b\n1,2\n")
    assert examine(tmp_path / "table.csv") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "path,frames,rate\na.wav,4000,16000\n",
            r"m\.csv, row 1: lists 4,000 samples at 16,000 Hz of .*a\.wav, which has 4,000 at",
        ),
        (
            "path,frames,rate\na.wav,3000,8000\n",
            r"m\.csv, row 1: lists 3,000 samples at 8,000 Hz of .*a\.wav, which has 4,000 at",
        ),
        ("path,frames,rate\na.wav,4000,\n", r"m\.csv, row 1 \(a\.wav\): no rate"),
        ("path,start,end\na.wav,0,9\n", r"m\.csv, row 1: asks for 0 to 9 s of .*a\.wav, which is 0\.5 s long"),
        ("path,start,end\na.wav,0,0.01\n", r"a\.wav: 10 ms long, less than a frame of features \(25 ms\)"),
        ("file,label\na.wav,1\n", r"m\.csv: there is no column 'path' \(it has: file, label\).*data\.path_column"),
        ("path;label\na.wav;1\n", r"m\.csv: there is no column 'path' \(it has: path;label\)"),
    ],
)
def test_the_doctor_reads_what_a_manifest_says(text: str, said: str, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(200.0, 0.5), 8000)
    (tmp_path / "m.csv").write_text(text)
    found = examine(tmp_path / "m.csv")
    assert found is not None
    assert len(found) == 1
    assert re.search(said, found[0]), found


def test_the_doctor_knows_a_broken_list_of_sounds_and_a_file_without_samples(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"path": "a.wav"}\n{broken\n')
    assert "cannot be read as a manifest" in (examine(tmp_path / "m.jsonl") or [""])[0]
    soundfile.write(tmp_path / "m.ogg", np.tile(tone(200.0, 1.0), 10), 8000)
    (tmp_path / "m.ogg").write_bytes((tmp_path / "m.ogg").read_bytes()[:6000])
    assert "m.ogg: truncated: its last Ogg page is broken off" in (examine(tmp_path / "m.ogg") or [""])[0]


def test_the_demos_notes_are_sounds_of_each_octave(tmp_path: Path) -> None:
    source = AudioSource(path=write_instruments(tmp_path, notes=6), rate=None, target="instrument", hold_out={"octave": "3"})
    assert len(source) == 24
    assert (source.splits() == "test").sum() == 8
    assert source.batch(np.arange(24)).features.isfinite().all()


def test_extensions_are_set_aside_and_the_user_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "_torchaudio.so").write_bytes(b"x")
    assert [path.name for path in torchaudio_cpu.extensions(tmp_path)] == ["_torchaudio.so"]
    assert torchaudio_cpu.set_aside(tmp_path) == [tmp_path / "lib" / "set_aside" / "_torchaudio.so"]
    assert torchaudio_cpu.extensions(tmp_path) == []
    assert torchaudio_cpu.set_aside(tmp_path) == []
    monkeypatch.setitem(sys.modules, "torchaudio", None)
    with pytest.raises(UserError, match=r"torchaudio cannot be imported.*\n.*python -m manyviews_speech\.torchaudio_cpu"):
        torchaudio_cpu.load()


def test_setting_aside_twice_says_that_there_is_nothing_to_do() -> None:
    told = subprocess.run([sys.executable, "-m", "manyviews_speech.torchaudio_cpu"], capture_output=True, text=True, check=True)
    assert "nothing to do" in told.stdout or "has CUDA" in told.stdout
