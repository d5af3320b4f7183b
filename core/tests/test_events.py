"""Events: how they fill frames, how scores become events, how they are compared, probed, finetuned and written."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from manyviews.downstream import Net
from manyviews.engine.judge import evaluate_run
from manyviews.engine.pretrain import pretrain
from manyviews.errors import DataError
from manyviews.evaluate.event_detection import THRESHOLDS, EventDetection, frame_f1
from manyviews.evaluate.event_scores import Matching, event_scores
from manyviews.evaluate.task import Embedded, Timed
from manyviews.events import Decoding, Events, EventTruth, Stretches
from manyviews.export.events import TsvWriter
from manyviews.finetuning.events import EventDetection as Finetuned
from manyviews.finetuning.load import load_finetuned
from manyviews.finetuning.study import finetune
from manyviews.lengths import Lengths
from manyviews.recipe.model import Recipe
from manyviews.testing.toy import ToyEncoder, ToySource
from manyviews.traits import Trait
from manyviews.view import View
from manyviews.writer import About, Rows

Make = Callable[..., Recipe]


def stretches(*rows: tuple[int, float, float, int]) -> Stretches:
    """Sample, onset, offset, class."""
    table = np.array(rows, dtype=np.float64).reshape(-1, 4)
    return Stretches(table[:, 0].astype(np.int64), table[:, 1], table[:, 2], table[:, 3].astype(np.int64))


def events(found: Stretches, *seconds: float, classes: int = 2) -> Events:
    names = tuple("abc"[:classes])
    return Events("sounds", names, found, np.array(seconds), np.ones(len(seconds), dtype=bool))


def drawn(seed: int, classes: int = 2) -> Stretches:
    """Events in two samples of five seconds; those of a class may overlap."""
    rng = np.random.default_rng(seed)
    onsets = rng.uniform(0, 4, 12)
    ends = np.minimum(onsets + rng.uniform(0.1, 1.5, 12), 5.0)
    return Stretches(rng.integers(2, size=12), onsets, ends, rng.integers(classes, size=12))


def test_events_fill_the_frames_whose_middle_they_cover() -> None:
    found = stretches((0, 0.3, 1.0, 0), (0, 0.7, 1.4, 0), (1, 0.0, 2.0, 1), (1, 0.76, 0.78, 0), (1, 1.99, 2.0, 0))
    truth = EventTruth.of(events(found, 2.0, 2.0))
    active = truth.activity(Lengths.of([4, 8]), 2)  # frames of .5 and of .25 s
    assert active[:4, 0].tolist() == [False, True, True, False]
    assert active[4:, 0].tolist() == [False, False, False, True, False, False, False, True]  # too short for a middle: one frame
    assert active[:, 1].tolist() == [False] * 4 + [True] * 8


@pytest.mark.parametrize("frames", [(1, 7), (30, 50)])
def test_frames_longhand(frames: tuple[int, int]) -> None:
    found = drawn(3)
    active = EventTruth.of(events(found, 5.0, 5.0)).activity(Lengths.of(frames), 2)
    expected = np.zeros((sum(frames), 2), dtype=bool)
    for sample, onset, offset, kind in zip(found.samples, found.onsets, found.offsets, found.classes, strict=True):
        step, start = 5.0 / frames[sample], sum(frames[:sample])
        middles = (np.arange(frames[sample]) + 0.5) * step
        inside = (middles >= onset) & (middles < offset)
        if not inside.any():
            inside[int((onset + offset) / 2 / step)] = True
        expected[start : start + frames[sample], kind] |= inside
    assert active.numpy().tolist() == expected.tolist()


def test_scores_become_events() -> None:
    scores = np.zeros((20, 2))
    scores[[2, 3, 4, 6, 7, 15], 0] = 0.8
    scores[10:, 1] = 0.6
    plain = Decoding()(scores, 2.0)
    assert_close(plain[:, :3], np.array([[0.2, 0.5, 0], [0.6, 0.8, 0], [1.0, 2.0, 1], [1.5, 1.6, 0]]))
    assert_close(plain[:, 3], np.array([0.8, 0.8, 0.6, 0.8]))
    assert_close(Decoding(gap=0.15)(scores, 2.0)[:2, :3], np.array([[0.2, 0.8, 0], [1.0, 2.0, 1]]))
    assert len(Decoding(shortest=0.25)(scores, 2.0)) == 2
    assert_close(Decoding(smooth=0.3)(scores, 2.0)[:, :3], np.array([[0.2, 0.8, 0], [1.0, 2.0, 1]]))  # a hole and a click
    assert Decoding((0.5, 0.7))(scores, 2.0)[:, 2].tolist() == [0, 0, 0]
    assert Decoding()(np.zeros((0, 2)), 0.1).shape == (0, 4)


def test_scores_of_a_worked_example() -> None:
    truth = events(stretches((0, 0.0, 1.0, 0), (0, 2.0, 3.0, 0), (0, 0.5, 2.5, 1)), 4.0)
    said = stretches((0, 0.1, 1.15, 0), (0, 2.5, 3.0, 0), (0, 0.6, 2.85, 1), (0, 3.2, 3.8, 1))
    scores = event_scores(truth, said, Matching())
    # a: seconds 0 and 2, said 0, 1 and 2; b: seconds 0, 1, 2, said 0, 1, 2, 3
    assert_close(scores["segment_f1"], 2 * 5 / (5 + 7))
    assert_close(scores["segment_f1_macro"], (2 * 2 / 5 + 2 * 3 / 7) / 2)
    assert_close(scores["segment_error"], 2 / 5)  # two made up
    # a: the first is found (.1 and .15 off), the second begins .5 late; b: its end may be .4 off, a fifth of its two seconds
    assert_close(scores["event_f1"], 2 * 2 / (3 + 4))
    assert_close(scores["event_f1/a"], 2 * 1 / 4)
    assert_close(scores["event_f1/b"], 2 * 1 / 3)


@pytest.mark.parametrize("seed", range(5))
def test_as_many_events_are_matched_as_can_be(seed: int) -> None:
    """Against all ways to pair them."""
    truth, said, matching = drawn(seed, 1), drawn(seed + 100, 1), Matching(collar=0.5)
    best = 0
    for sample in (0, 1):
        own, other = (found.of(np.array([sample])) for found in (truth, said))
        few, many = (own, other) if len(own) <= len(other) else (other, own)
        near = np.zeros((len(few), len(many)), dtype=bool)
        for row in range(len(few)):
            for column in range(len(many)):
                i, j = (row, column) if few is own else (column, row)
                late = max(0.5, 0.2 * (own.offsets[i] - own.onsets[i]))
                near[row, column] = (
                    abs(own.onsets[i] - other.onsets[j]) <= 0.5 and abs(own.offsets[i] - other.offsets[j]) <= late
                )
        best += max(
            sum(near[row, column] for row, column in enumerate(order)) for order in permutations(range(len(many)), len(few))
        )
    scores = event_scores(events(truth, 5.0, 5.0, classes=1), said, matching)
    assert_close(scores["event_f1"], 2 * best / 24)


def test_scores_at_the_edges() -> None:
    truth = events(drawn(0), 5.0, 5.0)
    assert event_scores(truth, truth.found, Matching())["event_f1"] == 1.0
    assert event_scores(truth, truth.found, Matching())["segment_error"] == 0.0
    nothing = events(stretches(), 5.0, 5.0)
    assert event_scores(nothing, stretches(), Matching()) == {
        "segment_f1": 0.0, "segment_f1_macro": 0.0, "segment_error": 0.0, "event_f1": 0.0, "event_f1_macro": 0.0,
    }  # fmt: skip
    assert event_scores(nothing, truth.found, Matching())["segment_error"] == 1.0
    assert event_scores(truth, stretches(), Matching())["segment_f1"] == 0.0


def framed(seed: int = 0, splits: tuple[str, ...] = ("train", "train", "valid", "test")) -> Embedded:
    """Frames of twelve samples in which two classes sound, each in a direction of its own."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(40, 60, 12)
    rows = [
        (sample, onset, min(onset + rng.uniform(0.8, 2), 5.0), kind)
        for sample in range(12)
        for kind in (0, 1)
        for onset in (rng.uniform(0, 2), rng.uniform(3, 4))
    ]
    known = events(stretches(*rows), *[5.0] * 12)
    active = EventTruth.of(known).activity(Lengths.of(counts.tolist()), 2).numpy()
    x = active @ np.eye(2, 8) + 0.2 * rng.normal(size=(len(active), 8))
    own = np.array(splits)[np.arange(12) % len(splits)]
    return Embedded(x.astype(np.float32), np.repeat(own, counts), timed=Timed(counts, known, own))


def test_events_are_read_off_frames() -> None:
    scores = EventDetection()(framed())
    assert scores.metrics["event_f1"] > 0.9
    assert scores.metrics["segment_f1"] > 0.95
    assert not scores.notes
    noise = replace(framed(), x=np.random.default_rng(1).normal(size=framed().x.shape).astype(np.float32))
    assert EventDetection()(noise).metrics["event_f1"] < 0.5


def test_the_layer_that_is_best_on_validation_samples_is_read() -> None:
    good = framed()
    noise = np.random.default_rng(1).normal(size=good.x.shape).astype(np.float32)
    layered = replace(good, x=noise, layers=(noise, good.x, noise))
    scores = EventDetection()(layered)
    assert scores.metrics == EventDetection()(good).metrics
    assert scores.notes == ("layer 2 of 3 is read",)
    assert EventDetection(layer="last")(layered).metrics == EventDetection()(replace(good, x=noise)).metrics
    assert good.timed is not None
    test = np.repeat(good.timed.splits == "test", good.timed.counts)
    turned = replace(layered, layers=(noise, np.where(test[:, None], -good.x, good.x), noise))
    assert EventDetection()(turned).notes == ("layer 2 of 3 is read",), "test samples choose nothing"


def test_thresholds_are_those_of_events_and_not_of_frames() -> None:
    """Five stray frames among a hundred: cheap in frames' F1, and five seconds that are said wrongly."""
    known = events(stretches((0, 2.0, 4.0, 0)), 10.0)
    said, truth = np.full((100, 2), 0.02), np.zeros((100, 2), dtype=bool)
    truth[20:40, 0] = True
    said[20:40:2, 0], said[21:40:2, 0], said[45:100:11, 0] = 0.9, 0.42, 0.42
    by_frames = [frame_f1(said >= threshold, truth)[0] for threshold in THRESHOLDS]
    assert THRESHOLDS[int(np.argmax(by_frames))] < 0.42
    decoding, f1 = EventDetection(gap=0.15)._chosen(said, truth, np.array([100]), known, 0.0)
    assert 0.42 < decoding.threshold[0] <= 0.9
    assert decoding.threshold[1] == 0.5, "a class that does not happen"
    assert f1 == 1.0


def test_the_median_filter_is_chosen_too() -> None:
    data = framed()
    assert data.timed is not None
    clicks = np.random.default_rng(0).uniform(size=len(data.x)) < 0.15
    spoilt = replace(data, x=np.where(clicks[:, None], 1 - data.x, data.x))
    scores = [EventDetection(smooth=smooth)(spoilt).metrics["event_f1"] for smooth in (0.0, 0.5, (0.0, 0.5))]
    assert scores[0] < scores[1] == scores[2]


def test_few_frames_are_fitted_on_where_that_is_asked() -> None:
    seen: list[int] = []

    class Watched(EventDetection):
        def fit(self, *given: Any) -> Any:
            seen.append(len(given[0]))
            return super().fit(*given)

    assert Watched(frames=100)(framed()).metrics["event_f1"] > 0.6
    assert seen == [100, 100]


def test_what_is_missing_is_cut_from_training_samples_and_said() -> None:
    scores = EventDetection()(framed(splits=("train",)))
    assert len(scores.notes) == 2
    assert scores.metrics["event_f1"] > 0.8
    grouped = framed(splits=("train",))
    assert grouped.timed is not None
    alike = replace(grouped, timed=replace(grouped.timed, groups=np.full(12, "one")))
    with pytest.raises(DataError, match="1 training groups are too few to cut a split from"):
        EventDetection()(alike)


def test_test_samples_are_not_looked_at() -> None:
    """The thresholds and penalties are those of other test samples."""
    data = framed()
    assert data.timed is not None
    test = np.repeat(data.timed.splits == "test", data.timed.counts)
    other = replace(data, x=np.where(test[:, None], -data.x, data.x))
    seen: list[Any] = []

    class Watched(EventDetection):
        def fit(self, *given: Any) -> Any:
            seen.append(super().fit(*given))
            return seen[-1]

    for one in (data, other):
        Watched(l2=(10.0, 1.0))(one)
    assert len(seen) == 4
    for before, after in zip(seen[:2], seen[2:], strict=True):
        assert_close(before.weight, after.weight)


def test_nothing_happens() -> None:
    data = framed()
    assert data.timed is not None
    silent = replace(data.timed.events, found=stretches())
    with pytest.raises(DataError, match="events 'sounds': nothing happens in the 6 training samples"):
        EventDetection().check(replace(data, timed=replace(data.timed, events=silent)))
    with pytest.raises(DataError, match="needs events, and the source has none"):
        EventDetection()(replace(data, timed=None))


def test_evaluation_beside_raw_input_and_untrained_encoder(toy_recipe: Make) -> None:
    tasks = [{"task": "events", "segment": 2.0, "collar": 1.0, "smooth": 0.0, "gap": 0.0, "every": 2}, {"task": "linear_probe"}]
    run = pretrain(toy_recipe(data__noise=1.0, data__samples=64, data__length=[6, 9], train__steps=4, evaluate=tasks))
    table = evaluate_run(run.folder)
    rows = {(row.representation, row.form): row.scores.metrics for row in table.rows if row.task == "events"}
    assert set(rows) == {("raw input", "frames"), ("untrained encoder", "frames"), ("pretrained encoder", "frames")}
    assert rows["raw input", "frames"]["segment_f1"] > 0.75  # a threshold on one channel
    assert {row.task for row in table.rows} == {"events", "linear_probe"}
    assert "eval/events/segment_f1" in (run.folder / "journal.jsonl").read_text()
    alone = evaluate_run(run.folder, tasks=["events"])
    assert {row.task for row in alone.rows} == {"events"}


def test_finetuning_and_predicting(toy_recipe: Make, tmp_path: Path) -> None:
    run = pretrain(toy_recipe(data__noise=1.0, data__samples=64, train__steps=4, data__length=[6, 9]))
    study = finetune(
        run.folder, task={"name": "events", "segment": 2.0, "collar": 1.0, "smooth": 0.0, "gap": 0.0}, scratch=False,
        track=None, train={"steps": 60, "batch_size": 8, "device": "cpu", "folder": str(tmp_path)}, optim={"lr": 1e-2},
    )  # fmt: skip
    (result,) = study.results()
    assert result["test"]["segment_f1"] > 0.7
    found = load_finetuned(study.best)
    source = ToySource(samples=5, length=(6, 9), noise=1.0, seed=3)
    answers = [part for rows in found.rows(source, np.arange(5)) for part in np.split(rows.values, rows.counts.cumsum()[:-1])]
    assert len(answers) == 5
    assert all(part.shape[1] == 4 for part in answers)
    assert (answers[0][:, 1] <= source.seconds()[0]).all()


def test_only_labelled_samples_teach(toy_recipe: Make) -> None:
    source, task = ToySource(samples=8, length=(4, 6)), Finetuned(rare=3.0)
    torch.manual_seed(0)
    encoder = ToyEncoder(source.spec).double()
    units = task.units(source, encoder, "sample")
    chosen = np.array([2, 5])
    answers = task.learn(source, units, chosen)
    net = Net(encoder, task.head(encoder, answers, "sample").double(), "sample")
    batch = task.reader(source, units, chosen)(np.array([5, 1, 2]), np.random.default_rng(0))
    loss = task.loss(net, answers, batch, torch.Generator()).value
    expected, count = torch.zeros((), dtype=torch.float64), 0
    for sample in chosen:
        alone = task.reader(source, units, chosen)(np.array([sample]), np.random.default_rng(0))
        layout = encoder.layout(alone.batch)
        logits = net.head(encoder(View(alone.batch, layout)).tokens)
        active = alone.truth.activity(layout.lengths, 2)
        p = logits.sigmoid()
        expected = expected - torch.where(active, 3.0 * p.log(), (1 - p).log()).mean(1).sum()
        count += layout.lengths.total
    assert_close(loss, expected / count)


class Pieces(ToySource):
    """Samples 0 and 1 are pieces of one recording."""

    def moment(self, sample: int) -> tuple[str, float]:
        return ("long.wav", 5.0 * sample) if sample < 2 else (f"{sample}.wav", 0.0)


def test_a_list_of_events(tmp_path: Path) -> None:
    rows = np.array([[1.0, 5.0, 0, 0.9], [0.0, 2.0, 0, 0.8], [0.0, 1.0, 1, 0.7], [0.25, 0.5, 1, 0.6]])
    parts = [Rows(np.array([0, 1]), np.array([1, 2]), rows[:3]), Rows(np.array([2, 3]), np.array([0, 1]), rows[3:])]
    about = About(Pieces(samples=4), "events", 4, (4,), ("dog", "bell"))
    TsvWriter().write(iter(parts), about, tmp_path / "events.tsv")
    with (tmp_path / "events.tsv").open() as file:
        assert list(csv.reader(file, delimiter="\t")) == [
            ["filename", "onset", "offset", "event_label"],
            ["long.wav", "1.000", "7.000", "dog"],  # goes on where the recording was cut
            ["long.wav", "5.000", "6.000", "bell"],
            ["2.wav", "", "", ""],
            ["3.wav", "0.250", "0.500", "bell"],
        ]  # fmt: skip


def test_an_encoder_without_moments_is_refused_before_training(toy_recipe: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToyEncoder, "offers", ToyEncoder.offers - {Trait.MOMENTS})
    with pytest.raises(DataError, match="events need an encoder whose tokens follow one another in time; ToyEncoder is none"):
        pretrain(toy_recipe(train__steps=4, evaluate=[{"task": "events"}]))


def test_refusals_before_anything_is_trained() -> None:
    class Plain(ToySource):
        def events(self) -> None:
            return None

    source = Plain(samples=4)
    with pytest.raises(DataError, match=r"Plain has no events: name them in `data` \(data.events=…\)"):
        Finetuned().units(source, ToyEncoder(source.spec), "sample")
