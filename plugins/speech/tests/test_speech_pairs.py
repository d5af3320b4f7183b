"""Pairs for verification, and partners for views."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from manyviews.errors import DataError, UserError
from manyviews_speech.partners import Neighbours, centred, in_parts
from manyviews_speech.source import AudioSource


def speakers_of(sounds: Path) -> np.ndarray:
    return np.array([row.split(",")[2] for row in sounds.read_text().splitlines()[1:]])


def test_pairs_are_drawn_by_speaker_within_splits(sounds: Path) -> None:
    source = AudioSource(path=sounds, rate=None, speaker="speaker", splits="split", pairs="speaker", pair_count=20)
    pairs, who, splits = source.pairs(), speakers_of(sounds), source.splits()
    assert pairs is not None
    assert (pairs.same == (who[pairs.left] == who[pairs.right])).all()
    assert (pairs.left != pairs.right).all()
    assert (splits[pairs.left] == pairs.splits).all()
    assert (splits[pairs.right] == pairs.splits).all()
    assert len(set(zip(pairs.left.tolist(), pairs.right.tolist(), strict=True))) == len(pairs.left), "no pair twice"
    train = pairs.splits == "train"
    assert pairs.same[train].sum() == 10 == (~pairs.same[train]).sum()
    again = AudioSource(path=sounds, rate=None, speaker="speaker", splits="split", pairs="speaker", pair_count=20).pairs()
    assert again is not None
    assert (again.left == pairs.left).all()


def test_pairs_without_speakers_are_refused(sounds: Path) -> None:
    with pytest.raises(DataError, match=r"name the column of speakers as `data\.speaker`"):
        AudioSource(path=sounds, rate=None, pairs="speaker")
    with pytest.raises(DataError, match=r"data\.pairs: there is no file .*trials\.txt; name a list of trials, or `speaker`"):
        AudioSource(path=sounds, rate=None, pairs=str(sounds.parent / "trials.txt"))


def test_a_list_of_trials_in_both_forms(sounds: Path) -> None:
    trials = sounds.parent / "trials.txt"
    trials.write_text("1 ada-0.wav ada-1.wav\n0 ada-0.wav bob-3.wav\n\nbob-4.wav ada-2.wav nontarget\n")
    pairs = AudioSource(path=sounds, rate=None, pairs=trials).pairs()
    assert pairs is not None
    assert pairs.left.tolist() == [0, 0, 4]
    assert pairs.right.tolist() == [1, 3, 2]
    assert pairs.same.tolist() == [True, False, False]
    assert set(pairs.splits) == {"test"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the list of trials is empty"),
        ("1 ada-0.wav\n", r"line 1: expected `1 left right` or `left right target`, got '1 ada-0\.wav'"),
        ("1 ada-0.wav eve-7.wav\n", r"line 1: there is no sound 'eve-7\.wav' in the data"),
    ],
)
def test_trials_that_are_none_are_named(sounds: Path, text: str, message: str) -> None:
    (sounds.parent / "trials.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        AudioSource(path=sounds, rate=None, pairs=sounds.parent / "trials.txt")


def test_centring_takes_the_speaker_out() -> None:
    who = torch.tensor([0, 1, 0, 1, 2])
    x = torch.randn(5, 3, dtype=torch.float64) + 10 * who[:, None]
    made = centred(x, who)
    for speaker in range(3):
        assert_close(made[who == speaker].mean(0), torch.zeros(3, dtype=torch.float64), atol=1e-12, rtol=0)


def test_neighbours_are_near_and_of_other_speakers() -> None:
    generator = torch.Generator().manual_seed(0)
    what, who = torch.arange(40) % 4, torch.arange(40) // 20
    words = torch.randn(4, 6, generator=generator)
    voices = 5 * torch.randn(2, 6, generator=generator)
    x = words[what] + voices[who] + 0.05 * torch.randn(40, 6, generator=generator)
    chosen = np.arange(10, 50)  # clips 0 to 9 are no training clips
    speakers = np.concatenate([np.full(10, 7), who.numpy()])
    partners = Neighbours(chosen, x, speakers, 3)(np.arange(50), np.random.default_rng(0))
    assert partners[:10].tolist() == list(range(10)), "a clip outside is its own partner"
    found = partners[10:] - 10
    assert (who[found] != who).all()
    assert (what[found] == what).all()


def test_neighbours_without_speakers_are_any_but_the_clip(sounds: Path) -> None:
    source = AudioSource(path=sounds, rate=None, partner="neighbour", neighbours=1)
    index = np.arange(len(source))
    batch = source.batch(index)
    assert batch.others is not None
    notes = index % 3  # written in turns: a, b, c
    near = source._partners(index, np.random.default_rng(0))
    assert (near != index).all()
    assert (notes[near] == notes).mean() > 0.7, "notes of one pitch are near, whoever plays them"


def test_neighbours_of_one_speaker_alone_are_refused(sounds: Path) -> None:
    source = AudioSource(path=sounds, rate=None, speaker="speaker", hold_out={"speaker": "bob"}, partner="neighbour")
    with pytest.raises(DataError, match="all training clips are of one speaker"):
        source.batch(np.arange(2))


def test_parts_of_a_clip() -> None:
    frames = torch.arange(6.0)[:, None]
    assert_close(in_parts(frames, 3), torch.tensor([0.5, 2.5, 4.5]))
    assert_close(in_parts(frames[:1], 3), torch.zeros(3))
    assert len(in_parts(torch.randn(5, 2), 8)) == 16


def test_partners_of_one_cluster_are_training_clips_alone(sounds: Path) -> None:
    source = AudioSource(path=sounds, rate=None, splits="split", clusters=3, partner="cluster")
    index, train = np.arange(len(source)), source.splits() == "train"
    partners = source._partners(index, np.random.default_rng(0))
    assert train[partners[train]].all()
    assert (partners[~train] == index[~train]).all(), "a clip that is not trained on is in no cluster"
    assert (partners != index)[train].mean() > 0.9
    notes = index % 3
    assert (notes[partners] == notes)[train].mean() > 0.6, "notes of one pitch fall into one cluster"


def test_clusters_that_cannot_be_are_refused(sounds: Path) -> None:
    with pytest.raises(UserError, match=r"say how many clusters there are: `data\.clusters`"):
        AudioSource(path=sounds, rate=None, partner="cluster")
    many = AudioSource(path=sounds, rate=None, clusters=31, partner="cluster")
    with pytest.raises(DataError, match="31 clusters cannot be found among 30 training clips; set it lower"):
        many.batch(np.arange(2))


def test_a_run_that_cuts_otherwise_is_refused(sounds: Path, tmp_path: Path) -> None:
    from manyviews.engine.pretrain import pretrain

    small = {"encoder": {"width": 8, "depth": 1}, "evaluate": [], "track": None}
    train = {"steps": 1, "batch_size": 4, "epochs": None, "folder": str(tmp_path / "runs"), "device": "cpu"}
    run = pretrain("speech/byol_a", data={"path": str(sounds), "rate": 8000, "chunk": 0.2}, train=train, **small)
    given = {"path": sounds, "rate": 8000, "partner": "neighbour", "partner_run": str(run.folder)}
    near = AudioSource(**given, chunk=0.2)
    assert near.batch(np.arange(4)).others is not None, "found in the run's embedding"
    with pytest.raises(DataError, match="clips, this run into 30; give both the same `chunk`"):
        AudioSource(**given).batch(np.arange(2))
