"""The report of a run: what stands in it, that it needs nothing else, and that it never costs a run."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from manyviews.cli.main import run
from manyviews.engine.judge import evaluate_run
from manyviews.engine.pretrain import pretrain
from manyviews.recipe.model import Recipe
from manyviews.report import embedded
from manyviews.report.atlas import colour, draw_map, layout, legend
from manyviews.report.curves import LEAST, MOST_POINTS, Series, thinned, title, wide_enough
from manyviews.report.embedded import Embeddings, Known
from manyviews.report.make import NAME, verdict_of
from manyviews.report.neighbours import near, nearest
from manyviews.report.page import table
from manyviews.report.scores import last_readings
from manyviews.testing.toy import ToyEncoder, ToySource, ToySpec
from manyviews.view import View

MakeRecipe = Callable[..., Recipe]
TASKS = [{"task": "linear_probe", "every": 4}, {"task": "effective_rank"}]


class Reader(HTMLParser):
    """What a page loads, its ids, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.refers: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attrs}
        self.loads += [
            found[key] for key in ("src", "href", "xlink:href") if not found.get(key, "#").startswith(("#", "data:"))
        ]
        self.refers += [found[key][1:] for key in ("href", "xlink:href") if found.get(key, "").startswith("#")]
        self.refers += re.findall(r"url\(#([^)]+)\)", found.get("clip-path", ""))
        self.ids += [found["id"]] if "id" in found else []
        assert tag not in ("script", "link", "iframe")

    def handle_data(self, data: str) -> None:
        self.text += data


def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader


@pytest.mark.slow
def test_a_tracked_run_ends_with_a_report(toy_recipe: MakeRecipe, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    done = pretrain(toy_recipe(track={"uri": uri, "log_model": False}, evaluate=TASKS, train__watch_every=4))
    client = MlflowClient(uri)
    (stored,) = client.search_runs([client.get_experiment_by_name("toy").experiment_id])  # type: ignore[union-attr]
    assert NAME in [item.path for item in client.list_artifacts(stored.info.run_id)]
    page = read(done.folder / NAME)
    for words in ("masked_reconstruction", "linear_probe/accuracy", "Coloured by", "centre 0", "steps", "query", "view 1"):
        assert words in page.text, words
    assert len(re.findall(r"cosine (?:0\.|1 - )\d", page.text)) == 25
    assert page.loads == [], "the page loads something from elsewhere"
    assert len(set(page.ids)) == len(page.ids), "two things on the page have one id"
    assert set(page.refers) <= set(page.ids)
    assert "Result on the test split" not in page.text

    evaluate_run(done.folder)
    assert run(["report", str(done.folder)]) == 0
    assert "Result on the test split" in read(done.folder / NAME).text


@pytest.mark.slow
def test_the_unit_may_be_the_token(toy_recipe: MakeRecipe) -> None:
    done = pretrain(toy_recipe(unit="token"))
    assert not (done.folder / NAME).exists(), "a run that is not tracked is left as it is"
    assert run(["report", str(done.folder)]) == 0
    assert re.search(r"step \d+ of series \d+", read(done.folder / NAME).text)


def test_what_cannot_be_drawn_costs_a_line_and_never_the_run(
    toy_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from manyviews.testing.toy import ToyLines

    def fail(*_: object) -> None:
        raise ZeroDivisionError("no lines today")

    monkeypatch.setattr(ToyLines, "draw", fail)
    done = pretrain(toy_recipe(track={"uri": f"sqlite:///{tmp_path}/mlflow.db", "log_model": False}))
    assert done.stopped is None
    assert "the run has no report: no lines today" in capsys.readouterr().err


def test_a_folder_without_a_run_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(tmp_path)]) == 2
    assert "not a run folder" in capsys.readouterr().err


def test_the_verdict_compares_the_last_look_with_the_first() -> None:
    def watched(ranks: list[float]) -> dict[str, Series]:
        steps = list(range(len(ranks)))
        return {
            "watch/effective_rank": Series(steps, ranks),
            "watch/centred_rank": Series(steps, ranks),
            "watch/spread": Series(steps, [1.0] * len(ranks)),
        }

    assert verdict_of(watched([20.0, 1.5]), units=64, width=32) is not None
    assert "effective rank fell to 1.5" in str(verdict_of(watched([20.0, 1.5]), units=64, width=32))
    assert verdict_of(watched([20.0, 1.0, 18.0]), units=64, width=32) == ""
    assert verdict_of(watched([20.0]), units=64, width=32) is None


def test_a_long_curve_is_drawn_through_means() -> None:
    steps = np.arange(10_000, dtype=np.float64)
    x, y = thinned(steps, np.where(steps % 2 == 0, 0.0, 1.0))
    assert len(x) <= MOST_POINTS
    assert np.all(np.diff(x) > 0)
    assert abs(y - 0.5).max() < 0.05


def test_a_chart_of_next_to_nothing_shows_no_noise() -> None:
    low, high = wide_enough(0.98250, 0.98255)
    assert high - low == pytest.approx(LEAST * 0.98255)
    assert (low + high) / 2 == pytest.approx(0.982525)
    assert wide_enough(0.5, 0.6) == (0.5, 0.6)
    assert wide_enough(0.0, 0.0) == (0.0, 0.0)


def test_readings_are_called_by_what_they_are() -> None:
    assert title("train/lr") == "learning rate"
    assert title("train/loss") == "loss"
    assert title("eval/effective_rank/effective_rank") == "effective_rank"
    assert title("eval/linear_probe/accuracy") == "linear_probe/accuracy"


def test_last_readings_carry_their_deviation() -> None:
    read = {
        "eval/few_shot/accuracy_1_shot": Series([2, 4], [0.5, 0.75]),
        "eval/few_shot/accuracy_1_shot_std": Series([2, 4], [0.1, 0.05]),
        "train/loss": Series([4], [1.0]),
    }
    table = last_readings(read)
    assert "<td>few_shot/accuracy_1_shot</td><td>0.75 ±0.05</td><td>4</td>" in table
    assert "_std" not in table
    assert "loss" not in table


def test_what_is_best_stands_in_bold() -> None:
    assert table(("a", "b"), [("x", "0.5 ±0.1*"), ("y", "0.4 ")], best="*").count("<b>") == 1
    assert "<td><b>0.5 ±0.1</b></td>" in table(("a", "b"), [("x", "0.5 ±0.1*")], best="*")
    assert "<td>5*</td>" in table(("a",), [("5*",)])


def test_twelve_classes_are_told_apart_by_discs_and_rings() -> None:
    values = np.arange(12)
    known = Known("species", values, tuple(f"k{value}" for value in values))
    found = Embeddings(values, values, (None,) * 12, np.eye(12, dtype=np.float32), known, 12)
    drawn = draw_map(found, [str(value) for value in values], 0)
    marks = re.findall(r'fill="[^"]+"(?: stroke="[^"]+")?', drawn)
    assert len(set(marks)) == 12
    assert legend(known).count("background:none") == 2


def test_cosines_of_a_collapsed_embedding_are_told_apart() -> None:
    assert near(0.98765) == "0.988"
    assert near(1 - 3e-5) == "1 - 3e-05"
    assert near(1.0000001) == "1 - 0e+00"


def test_a_class_that_is_a_number_says_of_what() -> None:
    assert Known("landcover", np.array([1]), ("0", "3")).text(0) == "landcover 3"
    assert Known("kind", np.array([0, -1]), ("reed",)).text(0) == "reed"
    assert Known("kind", np.array([0, -1]), ("reed",)).text(1) == ""
    assert Known("age", np.array([41.0]), ()).text(0) == "age 41"


def test_neighbours_are_the_nearest_by_cosine_and_never_the_query() -> None:
    x = np.array([[1.0, 0], [2, 0.1], [0, 1], [-1, 0], [5, 0]], dtype=np.float32)
    order, cosines = nearest(x, np.array([0, 3]), 2)
    assert order[0].tolist() == [4, 1]
    assert 0 not in order[0]
    assert cosines[0, 0] == pytest.approx(1.0)
    assert order[1].tolist() == [2, 1]


@pytest.mark.parametrize("units", [1, 4, 12])
def test_a_map_of_few_units_and_of_equal_ones(units: int) -> None:
    for x in (np.random.default_rng(0).normal(size=(units, 3)).astype(np.float32), np.ones((units, 3), np.float32)):
        places = layout(x, 0)
        assert places.shape == (units, 2)
        assert np.isfinite(places).all()
        assert places.min() >= 0
        assert places.max() <= 1


def test_colours_tell_classes_and_numbers_apart() -> None:
    classes = colour(Known("kind", np.array([0, 1, -1]), ("a", "b")), 3)
    assert len(set(classes)) == 3
    numbers = colour(Known("size", np.array([0.0, 10.0, np.nan]), ()), 3)
    assert len(set(numbers)) == 3
    assert numbers[2] == classes[2] == "var(--faint)"


def test_of_very_many_tokens_few_samples_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A set of images whose unit is the pixel has billions: no list of all of them, and no look at every sample."""
    source, spec = ToySource(samples=4000, length=8), ToySpec(channels=4)
    encoder, read = ToyEncoder(spec), []
    own = ToySource.batch
    monkeypatch.setattr(ToySource, "batch", lambda self, index: (read.extend(index.tolist()), own(self, index))[1])
    monkeypatch.setattr(embedded, "MOST_TOKENS", 160)
    found = embedded.embeddings(encoder, source, "token", seed=0)
    assert len(set(read)) == 21, "20 samples of 8 tokens, and the one that was too many"
    assert found.total is None
    assert 0 < len(found.units) <= 160
    whole = ToyEncoder.forward(encoder, View(own(source, np.arange(4000)), encoder.layout(own(source, np.arange(4000)))))
    places = found.samples * 8 + np.array(found.tokens)
    assert np.allclose(found.x, whole.tokens.detach().numpy()[places], atol=1e-5)
    small = ToySource(samples=6, length=8)
    assert embedded.embeddings(encoder, small, "token", seed=0).total is None, "test samples are not looked at"
