"""Offline evaluation and its table."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
import torch
from jaxtyping import Float, Int
from torch.testing import assert_close

from manyviews.errors import DataError
from manyviews.evaluate import run
from manyviews.evaluate.effective_rank import EffectiveRank
from manyviews.evaluate.embed import RaggedError
from manyviews.evaluate.knn import KNN
from manyviews.evaluate.linear_probe import LinearProbe
from manyviews.evaluate.plan import Planned
from manyviews.evaluate.run import evaluate
from manyviews.evaluate.spread import Spread
from manyviews.evaluate.table import ResultTable, Row
from manyviews.evaluate.task import Scores
from manyviews.source import Labels, Source
from manyviews.testing.toy import ToyEncoder, ToySource

PLANNED = (Planned("linear_probe", LinearProbe()), Planned("effective_rank", EffectiveRank()))


def encoders(source: ToySource) -> dict[str, ToyEncoder]:
    torch.manual_seed(0)
    return {"untrained encoder": ToyEncoder(source.spec), "pretrained encoder": ToyEncoder(source.spec)}


def test_every_task_on_every_representation_in_every_form() -> None:
    source = ToySource()
    table = evaluate(encoders(source), source, (*PLANNED, Planned("knn", KNN(k=3)), Planned("spread", Spread())))
    which = [(row.representation, row.form) for row in table.rows if row.task == "knn"]
    assert which == [
        ("raw input", "features"),
        ("untrained encoder", "pooled"),
        ("untrained encoder", "flat"),
        ("pretrained encoder", "pooled"),
        ("pretrained encoder", "flat"),
    ]
    assert len(table.rows) == 20
    assert table.metrics()["linear_probe/raw_input/features/accuracy"] > 0.8
    assert any("bounded by the units, not by the width" in note for note in json.loads(table.to_json())["notes"])


def test_the_finished_encoder_is_reported_on_the_test_split() -> None:
    source = ToySource()
    splits, labels = source.splits(), source.labels()
    x = source.features(np.arange(64))
    from manyviews.evaluate.task import Embedded

    direct = LinearProbe()(Embedded(x, splits, labels))
    table = evaluate({}, source, PLANNED[:1])
    assert_close(dict(table.rows[0].scores.metrics), dict(direct.metrics))


def test_ragged_samples_have_no_flat_row_and_the_table_says_so() -> None:
    source = ToySource(length=(2, 9))
    table = evaluate(encoders(source), source, PLANNED)
    assert {row.form for row in table.rows} == {"features", "pooled"}
    assert sum("no flat form" in note for note in table.notes) == 1
    with pytest.raises(RaggedError):
        evaluate(encoders(source), source, PLANNED, forms=("flat",))


def test_a_very_wide_flat_form_is_made_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "MAX_FLAT_WIDTH", 100)
    source = ToySource()
    table = evaluate(encoders(source), source, PLANNED[:1])
    assert {row.form for row in table.rows} == {"features", "pooled"}
    assert "no flat form: 128 wide" in table.notes[0]
    asked = evaluate(encoders(source), source, PLANNED[:1], forms=("pooled", "flat"), raw=False)
    assert {row.form for row in asked.rows} == {"pooled", "flat"}


def test_a_source_without_plain_features_has_no_raw_row() -> None:
    class Plain(ToySource):
        features = Source.features

    source = Plain()
    table = evaluate(encoders(source), source, PLANNED)
    assert "raw input" not in {row.representation for row in table.rows}
    assert table.notes[0] == "no raw input: Plain has no plain features of samples"


def test_nan_in_the_raw_input_names_the_sample() -> None:
    class Broken(ToySource):
        def features(self, index: Int[np.ndarray, "samples"]) -> Float[np.ndarray, "samples features"]:
            return np.where(index[:, None] == 11, np.nan, super().features(index)).astype(np.float32)

    source = Broken()
    with pytest.raises(DataError, match="raw features of sample 11 hold NaN"):
        evaluate({}, source, PLANNED)


def test_tokens_as_units() -> None:
    class Nodes(ToySource):
        def labels(self) -> Labels:
            return Labels(
                "node", "classification", np.concatenate([(steps[:, 0] > 0).astype(np.int64) for steps in self.series])
            )

    source = Nodes(length=(2, 9))
    table = evaluate(encoders(source), source, PLANNED, unit="token")
    assert {(row.representation, row.form) for row in table.rows} == {
        ("untrained encoder", "tokens"),
        ("pretrained encoder", "tokens"),
    }
    assert table.metrics()["linear_probe/untrained_encoder/tokens/auc"] > 0.9
    assert table.notes[0] == "no raw input: Nodes has no plain features of tokens"


def test_raw_features_of_tokens() -> None:
    class Nodes(ToySource):
        def labels(self) -> Labels:
            first = np.concatenate([steps[:, 0] for steps in self.series])
            return Labels("node", "classification", (first > 0).astype(np.int64))

        def token_features(self, tokens: Int[np.ndarray, "tokens"]) -> Float[np.ndarray, "tokens features"]:
            return np.concatenate(self.series)[tokens]

    source = Nodes(length=(2, 9))
    table = evaluate(encoders(source), source, PLANNED, unit="token")
    assert [row.representation for row in table.rows[:2]] == ["raw input", "raw input"]
    assert table.metrics()["linear_probe/raw_input/features/auc"] > 0.95  # the label is the sign of the first feature


def test_unlabelled_data_and_caps() -> None:
    class Unlabelled(ToySource):
        def labels(self) -> None:
            return None

    source = Unlabelled()
    with pytest.raises(DataError, match="needs labels"):
        evaluate(encoders(source), source, PLANNED)
    table = evaluate(encoders(source), source, PLANNED[1:], max_unlabelled=5)
    assert table.metrics()["effective_rank/raw_input/features/effective_rank"] <= 4
    assert any("of 5 units" in note for note in json.loads(table.to_json())["notes"])


def table() -> ResultTable:
    better = {"auc": "higher", "rmse": "lower"}
    rows = (
        Row("raw input", "features", "probe", Scores({"auc": 0.81234, "rmse": 68769.4, "n": 3.0}, notes=("cut",)), better),
        Row(
            "pretrained encoder",
            "pooled",
            "probe",
            Scores({"auc": 0.9, "rmse": 71000.0, "n": 4.0}, {"auc": 0.0123}, ("cut", "x")),
            better,
        ),
    )
    return ResultTable(rows, ("no flat form",))


def test_text_is_aligned_marks_the_best_and_ends_with_the_notes() -> None:
    assert table().text() == (
        "probe                                   auc ↑   rmse ↓       n\n"
        "--------------------------------------------------------------\n"
        "raw input           features          0.8123   68,769*  3.000\n"
        "pretrained encoder  pooled    0.9000 ±0.0123*  71,000   4.000\n"
        "\n"
        "- no flat form\n"
        "- probe: cut\n"
        "- probe (pretrained encoder pooled): x"
    )


def test_a_table_is_read_back_as_it_was_written() -> None:
    back = ResultTable.from_json(table().to_json())
    assert back.text() == table().text()
    assert "*" in back.text()


def test_machine_readable_forms() -> None:
    metrics = table().metrics("evaluate/")
    assert metrics["evaluate/probe/pretrained_encoder/pooled/auc_std"] == 0.0123
    assert len(metrics) == 7
    results = json.loads(table().to_json())
    assert results["results"][3] == {
        "task": "probe",
        "representation": "pretrained encoder",
        "form": "pooled",
        "metric": "auc",
        "value": 0.9,
        "std": 0.0123,
        "better": "higher",
    }
    assert results["notes"] == ["no flat form", "probe: cut", "probe (pretrained encoder pooled): x"]
    lines = list(csv.DictReader(io.StringIO(table().to_csv())))
    assert (lines[0]["value"], lines[0]["std"], lines[0]["better"], len(lines)) == ("0.81234", "", "higher", 6)
