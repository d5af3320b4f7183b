"""Lists of events beside recordings: read, cut into pieces, refused in words; found, and written as such a list again."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.testing import assert_close

from manyviews.cli.main import run as manyviews
from manyviews.engine.pretrain import pretrain
from manyviews.errors import DataError, UserError
from manyviews.evaluate.embed import evaluating
from manyviews.finetuning.study import finetune
from manyviews.view import View
from manyviews_speech.patches import PatchTransformer
from manyviews_speech.source import AudioSource
from manyviews_speech.synth import RATE, write_scenes

HEAD = "filename\tonset\toffset\tevent_label\n"


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Twelve recordings of two seconds in which notes sound, and `events.tsv`."""
    return write_scenes(tmp_path, count=12, seconds=2.0)


def source(folder: Path, events: str = "events.tsv", **keys: object) -> AudioSource:
    return AudioSource(path=str(folder), rate=None, events=str(folder / events), **keys)  # type: ignore[arg-type]


def test_events_are_those_of_the_list(scenes: Path) -> None:
    read = source(scenes)
    events = read.events()
    assert events is not None
    assert events.classes == ("high", "low")
    assert events.known.all()
    with (scenes / "events.tsv").open() as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["event_label"]]
    told = {(row["filename"], float(row["onset"]), float(row["offset"]), row["event_label"]) for row in rows}
    found = events.found
    said = {
        (read.moment(sample)[0], on, off, events.classes[kind])
        for sample, on, off, kind in zip(
            found.samples.tolist(), found.onsets, found.offsets, found.classes.tolist(), strict=True
        )
    }
    assert said == told
    assert set(read.splits()) == {"train", "valid", "test"}, "where something is known, splits are drawn"


def test_pieces_have_their_part_of_an_event(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "long.wav", np.full(3 * RATE, 0.1, dtype=np.float32), RATE)
    (tmp_path / "events.tsv").write_text(HEAD + "long.wav\t0.5\t1.25\tdog\nlong.wav\t2.0\t3.0\tbell\n")
    read = source(tmp_path, chunk=1.0)
    events = read.events()
    assert events is not None
    found = sorted(zip(events.found.samples, events.found.onsets, events.found.offsets, events.found.classes, strict=True))
    assert_close(np.array(found), np.array([[0, 0.5, 1.0, 1], [1, 0.0, 0.25, 1], [2, 0.0, 1.0, 0]]))
    assert [read.moment(number) for number in range(3)] == [("long.wav", 0.0), ("long.wav", 1.0), ("long.wav", 2.0)]


def test_recordings_that_nobody_listened_to_are_not_silent(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        soundfile.write(tmp_path / name, np.full(RATE, 0.1, dtype=np.float32), RATE)
    (tmp_path / "events.csv").write_text("file,start,end,label\na.wav,0.1,0.4,dog\nb.wav,,,\n")
    events = source(tmp_path, "events.csv").events()
    assert events is not None
    assert events.known.tolist() == [True, True, False]


def test_names_are_those_of_paths_or_of_files(tmp_path: Path) -> None:
    (tmp_path / "field").mkdir()
    soundfile.write(tmp_path / "field" / "a.wav", np.full(RATE, 0.1, dtype=np.float32), RATE)
    for name in ("field/a.wav", "a.wav", str(tmp_path / "field" / "a.wav")):
        (tmp_path / "events.jsonl").write_text(f'{{"filename": "{name}", "onset": 0.1, "offset": 0.2, "event_label": "dog"}}\n')
        events = source(tmp_path, "events.jsonl").events()
        assert events is not None
        assert len(events.found) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"events\.tsv: the manifest is empty \(0 bytes\)"),
        (HEAD, r"events\.tsv: the list of events has no rows"),
        ("filename\tonset\toffset\n0.wav\t0\t1\n", r"there is no column 'event_label' \(it has: filename, onset, offset\)"),
        (HEAD + "0.wav\t\t\t\n", "no row of the list names an event"),
        (HEAD + "\t0\t1\tdog\n", "row 1: no filename"),
        (HEAD + "0.wav\t0.5\t\tdog\n", r"row 1 \(0\.wav\): onset and event_label without offset; leave all three empty"),
        (HEAD + "0.wav\t0.1\t0.2\tdog\n0.wav\tsoon\t1\tdog\n", r"row 2: onset is 'soon', expected a number"),
        (HEAD + "0.wav\t-1\t1\tdog\n", "row 1: onset is -1, expected a number that is not negative"),
        (HEAD + "0.wav\t1\t1\tdog\n", r"row 1 \(0\.wav\): offset 1 s is not after onset 1 s"),
        (HEAD + "0.wav\t0\tnan\tdog\n", "row 1: offset is nan, expected a number"),
        (HEAD + "none.wav\t0\t1\tdog\n", r"row 1: there is no sound 'none\.wav' in the data"),
        (HEAD + "0.wav\t1\t9\tdog\n", r"row 1: 'dog' from 1 to 9 s is beyond the end of .*0\.wav \(2 s\)"),
    ],
)
def test_lists_that_are_none_are_named(scenes: Path, text: str, message: str) -> None:
    (scenes / "events.tsv").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        source(scenes)
    assert len(str(caught.value).splitlines()) <= 2


def test_no_list_and_a_list_of_another_kind(scenes: Path) -> None:
    with pytest.raises(DataError, match=r"data\.events: there is no file .*missing\.tsv"):
        source(scenes, "missing.tsv")
    with pytest.raises(DataError, match=r"data\.events: .*0\.wav is no list of events; name a \.tsv, \.csv, \.jsonl file"):
        source(scenes, "0.wav")
    with pytest.raises(UserError, match=r"times are those of whole recordings, and `data\.trim` cuts their ends off"):
        source(scenes, trim=30.0)


def test_moments_of_patches_are_means_over_bands(sounds: Path) -> None:
    read = AudioSource(path=sounds, rate=None)
    torch.manual_seed(0)
    encoder = PatchTransformer(read.spec, width=8, depth=1, heads=2, frames=8, channels=20)
    batch = read.batch(np.arange(3))
    layout = encoder.layout(batch)
    with evaluating(encoder):
        encoding = encoder(View(batch, layout))
        moments, lengths = encoder.moments(encoding, layout)
    assert lengths.on_host() == [number // 4 for number in layout.lengths.on_host()]
    assert_close(moments[1], encoding.tokens[4:8].mean(0))


def test_from_a_list_to_a_list(scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pretrained, judged on frozen frames, finetuned; what is predicted is a list that can be read."""
    run = pretrain(
        "speech/hubert_frames",
        data={"path": str(scenes), "events": str(scenes / "events.tsv"), "rate": RATE, "chunk": None},
        encoder={"width": 32, "depth": 1, "heads": 2, "stack": 2},
        objective={"codes": 8},
        train={"epochs": 1, "batch_size": 4, "device": "cpu", "threads": 1, "folder": str(tmp_path / "runs")},
        evaluate=[{"task": "events"}],
        track=None,
    )  # fmt: skip
    assert manyviews(["evaluate", str(run.folder), "--device", "cpu"]) == 0
    table = capsys.readouterr().out
    assert "segment_f1_macro" in table
    study = finetune(
        run.folder, task={"name": "events"}, method="frozen", scratch=False, track=None, optim={"lr": 3e-2},
        train={"steps": 150, "batch_size": 8, "device": "cpu", "threads": 1, "folder": str(tmp_path / "tuned")},
    )  # fmt: skip
    (result,) = study.results()
    assert result["test"]["segment_f1"] > 0.6
    out = scenes / "said.tsv"
    assert manyviews(["predict", str(study.folder), str(scenes), "-o", str(out), "--device", "cpu"]) == 0
    assert out.read_text().startswith(HEAD)
    read = source(scenes, "said.tsv").events()
    assert read is not None
    assert read.known.all(), "a recording in which nothing was found stands in the list, too"
    assert set(read.classes) <= {"high", "low"}
