"""What a table is understood as, and what its batches hold."""

from __future__ import annotations

import json
import logging
import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from manyviews_tabular.schema import FIRST_LEVEL, MISSING, RARE, UNSEEN, TableSpec
from manyviews_tabular.source import TableSource


def same(one: TableSource, two: TableSource) -> None:
    index = np.arange(len(one))
    for left, right in zip(vars(one.batch(index)).values(), vars(two.batch(index)).values(), strict=True):
        np.testing.assert_array_equal(left, right)


def test_types_are_inferred(frame, caplog):
    with caplog.at_level(logging.WARNING):
        source = TableSource(path=frame, target="label")
    numeric = {column.name: column for column in source.spec.numeric}
    categorical = {column.name: column for column in source.spec.categorical}
    assert set(numeric) == {"age", "income", *(f"joined.{part}" for part in ("month", "day", "weekday", "hour"))}
    assert {name: column.type for name, column in categorical.items()} == {"city": "categorical", "member": "boolean"}
    assert set(source.spec.dropped) == {"key", "constant", "empty"}
    assert "unique key" in source.spec.dropped["key"]
    assert "missing" in source.spec.dropped["empty"]
    assert "equal" in source.spec.dropped["constant"]
    assert sum("is left out" in record.getMessage() for record in caplog.records) == 3
    assert "label" not in source.spec.columns


def test_the_schema_reads_well(frame):
    text = TableSource(path=frame, target="label").describe()
    assert "dropped: key (a unique key: every value occurs once)" in text
    assert any(line.split()[:2] == ["city", "categorical"] and "3 levels" in line for line in text.splitlines())
    assert any(line.startswith("joined.weekday") and "datetime (weekday)" in line for line in text.splitlines())


def test_the_spec_survives_json(frame):
    spec = TableSource(path=frame).spec
    assert TableSpec.model_validate_json(spec.model_dump_json()) == spec
    assert json.loads(spec.model_dump_json())["rows"] == 60


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "feather", "arrow"])
def test_every_format_reads_alike(frame, tmp_path, suffix):
    path = tmp_path / f"table.{suffix}"
    table = pa.Table.from_pandas(frame, preserve_index=False)
    match suffix:
        case "csv":
            frame.to_csv(path, index=False)
        case "tsv":
            frame.to_csv(path, index=False, sep="\t")
        case "parquet":
            pa.parquet.write_table(table, path, row_group_size=7)
        case _:
            pa.feather.write_feather(table, path)
    source, wanted = TableSource(path=str(path), target="label"), TableSource(path=frame, target="label")
    same(source, wanted)
    assert source.spec.tokens == wanted.spec.tokens
    np.testing.assert_array_equal(source.labels().values, wanted.labels().values)


def test_a_folder_and_a_pattern_are_one_table(frame, tmp_path):
    for i in range(3):
        frame[20 * i : 20 * i + 20].to_csv(tmp_path / f"part-{i}.csv", index=False)
    same(TableSource(path=str(tmp_path), target="label"), TableSource(path=frame, target="label"))
    same(TableSource(path=str(tmp_path / "part-*.csv"), target="label"), TableSource(path=frame, target="label"))


def test_parquet_streams_by_row_group(frame, tmp_path):
    path = tmp_path / "table.parquet"
    frame.to_parquet(path, row_group_size=7)
    streamed = TableSource(path=str(path), target="label", memory=0.0, cached_groups=2)
    assert list(streamed.blocks) == [7] * 8 + [4]
    held = TableSource(path=str(path), target="label")
    assert held.blocks is None
    index = np.random.default_rng(1).permutation(60)[:25]
    np.testing.assert_array_equal(streamed.batch(index).values, held.batch(index).values)
    np.testing.assert_array_equal(streamed.batch(index).codes, held.batch(index).codes)
    assert len(streamed.batch(np.array([], int))) == 0


def test_it_travels_to_workers(frame, tmp_path):
    path = tmp_path / "table.parquet"
    frame.to_parquet(path, row_group_size=7)
    for memory in (0.0, 1.0):
        source = TableSource(path=str(path), target="label", memory=memory)
        same(pickle.loads(pickle.dumps(source)), source)


def test_missing_and_unseen_are_told_apart():
    train = pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0] * 6, "c": ["a", "b", None, "a"] * 6})
    spec = TableSource(path=train).spec
    new = TableSource(path=pd.DataFrame({"c": ["a", "b", None, "zebra", "?"], "x": [1, None, 2, 3, 4]}), spec=spec)
    batch = new.batch(np.arange(5))
    np.testing.assert_array_equal(batch.codes[:, 0], [FIRST_LEVEL, FIRST_LEVEL + 1, MISSING, UNSEEN, MISSING])
    np.testing.assert_array_equal(batch.missing[:, 0], [False, True, False, False, False])
    assert batch.values[1, 0] == 0


def test_rare_levels_share_a_code():
    values = ["a"] * 10 + ["b"] * 6 + ["c"] * 2 + ["d"]
    spec = TableSource(path=pd.DataFrame({"c": values, "x": range(19)}), max_levels=2).spec
    (column,) = spec.categorical
    assert column.levels == ("a", "b")
    assert column.rare == ("c", "d")
    codes = TableSource(path=pd.DataFrame({"c": ["d", "c", "new"], "x": [0, 1, 2]}), spec=spec).batch(np.arange(3)).codes
    np.testing.assert_array_equal(codes[:, 0], [RARE, RARE, UNSEEN])


def test_statistics_are_of_training_rows_only(tmp_path):
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"x": random.normal(size=50), "c": random.choice(["a", "b"], 50), "k": random.integers(0, 9, 50)})
    splits = np.array(["train"] * 30 + ["valid"] * 5 + ["test"] * 15)
    pd.DataFrame({"split": splits}).to_csv(tmp_path / "split.csv", index=False)
    poisoned = frame.copy()
    poisoned.loc[30:, "x"] = 1e9
    poisoned.loc[30:, "c"] = "poison"
    poisoned.loc[30:, "k"] = -5
    clean = TableSource(path=frame, splits=str(tmp_path / "split.csv"))
    assert TableSource(path=poisoned, splits=str(tmp_path / "split.csv")).spec == clean.spec
    assert clean.spec.rows == 30


def test_numbers_as_text_are_numbers():
    frame = pd.DataFrame({"total": ["1.5", " 20", " ", "7e1"] * 5, "kind": ["a", "b"] * 10})
    source = TableSource(path=frame)
    (column,) = source.spec.numeric
    assert column.name == "total"
    assert column.maximum == 70
    assert column.missing == pytest.approx(0.25)


def test_codes_are_categories_on_request_and_match_by_value(tmp_path):
    frame = pd.DataFrame({"zip": [1, 2, 3, 1] * 6, "x": range(24)})
    spec = TableSource(path=frame, types={"zip": "categorical"}).spec
    (column,) = spec.categorical
    assert column.levels == ("1", "2", "3")
    for as_stored in ([1.0, np.nan, 3.0], ["1.0", None, "3"], ["1", "", "3.0"]):
        codes = TableSource(path=pd.DataFrame({"zip": as_stored, "x": [0, 1, 2]}), spec=spec).batch(np.arange(3)).codes
        np.testing.assert_array_equal(codes[:, 0], [FIRST_LEVEL, MISSING, FIRST_LEVEL + 2])


def test_codes_with_leading_zeros_stay_text():
    frame = pd.DataFrame({"zip": ["01", "1", "02", "1"] * 6, "x": range(24)})
    assert set(TableSource(path=frame, types={"zip": "categorical"}).spec.categorical[0].levels) == {"01", "1", "02"}


def test_booleans_match_however_they_are_written():
    spec = TableSource(path=pd.DataFrame({"b": [True, False, True, True], "x": [1, 2, 3, 4]})).spec
    new = pd.DataFrame({"b": ["true", "FALSE", "True", ""], "x": [1, 2, 3, 4]})
    codes = TableSource(path=new, spec=spec).batch(np.arange(4)).codes[:, 0]
    np.testing.assert_array_equal(codes, [FIRST_LEVEL, FIRST_LEVEL + 1, FIRST_LEVEL, MISSING])


def test_dates_become_parts():
    moments = pd.to_datetime(["2020-02-29 06:30", "2021-12-31 18:00", None, "2020-07-01 00:00"])
    for column in (moments, moments.tz_localize("UTC"), moments.strftime("%Y-%m-%d %H:%M:%S")):
        source = TableSource(path=pd.DataFrame({"t": column, "c": ["a", "b", "a", "b"]}))
        parts = {column.part: column for column in source.spec.numeric}
        assert set(parts) == {"year", "month", "day", "weekday", "hour"}
        assert parts["hour"].maximum == 18
        assert (parts["weekday"].minimum, parts["weekday"].maximum) == (2, 5)
        assert source.batch(np.arange(4)).missing.numpy().sum() == 5


def test_row_numbers_are_left_out_and_kept_on_request():
    frame = pd.DataFrame({"row": range(200), "x": np.random.default_rng(0).normal(size=200)})
    source = TableSource(path=frame)
    assert "counts the rows" in source.spec.dropped["row"]
    assert TableSource(path=frame, types={"row": "numeric"}).spec.tokens == ("row", "x")


def test_free_text_is_left_out_and_repeated_text_kept():
    often = pd.DataFrame({"note": [f"note {i // 2}" for i in range(60)] * 2, "x": [1.5, 2.5] * 60})
    assert len(TableSource(path=often, max_levels=10).spec.categorical[0].rare) == 20
    seldom = pd.DataFrame({"note": [f"note {i}" for i in range(100)] + ["note 1"] * 20, "x": [1.5, 2.5] * 60})
    assert "free text" in TableSource(path=seldom, max_levels=10).spec.dropped["note"]
    assert "note" in TableSource(path=seldom, max_levels=10, types={"note": "categorical"}).spec.tokens


def test_sentinels_are_missing_on_request(tmp_path):
    frame = pd.DataFrame({"x": [1, 2, -999, 3], "c": ["a", "n.a.", "b", "a"]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    for path in (frame, str(tmp_path / "t.csv")):
        spec = TableSource(path=path, missing=["-999", "n.a."]).spec
        assert spec.numeric[0].minimum == 1
        assert spec.categorical[0].levels == ("a", "b")


def test_features_are_plain_vectors(frame):
    source = TableSource(path=frame, target="label")
    features = source.features(np.arange(60))
    numeric, flags, levels = 6, 1, 4 + 2  # `rare` and three cities and missing; two booleans and `rare`
    assert features.shape == (60, numeric + flags + levels + 2)
    assert features.dtype == np.float32
    train = source.splits() == "train"
    np.testing.assert_allclose(features[train][:, 1].mean(), 0, atol=1e-5)
    np.testing.assert_allclose(features[train][:, 1].std(), 1, atol=1e-5)
    np.testing.assert_array_equal(features[[3, 17], numeric], [1, 1])


def test_fingerprints_tell_tables_apart(frame, tmp_path):
    other = frame.assign(income=frame.income + 1)
    one, two = TableSource(path=frame).fingerprint(), TableSource(path=other).fingerprint()
    assert one != two
    assert one == TableSource(path=frame.copy()).fingerprint()
    frame.to_csv(tmp_path / "t.csv", index=False)
    assert json.dumps(TableSource(path=str(tmp_path / "t.csv")).fingerprint())


def test_a_large_table_is_fitted_on_a_sample(frame):
    spec = TableSource(path=frame, fit_rows=40).spec
    assert spec.rows == 40
    assert spec == TableSource(path=frame, fit_rows=40).spec


def test_embedding_time_ignores_further_columns_and_order(frame):
    source = TableSource(path=frame, target="label")
    shuffled = frame[frame.columns[::-1]].drop(columns=["label", "key"]).assign(more=1)
    same(TableSource(path=shuffled, spec=source.spec), TableSource(path=frame, spec=source.spec))


def test_no_rows_at_embedding_time(frame):
    spec = TableSource(path=frame, target="label").spec
    empty = TableSource(path=frame[:0], spec=spec)
    assert len(empty) == 0
    assert empty.batch(np.array([], int)).values.shape == (0, 6)


def test_the_example_has_booleans_as_booleans(frame):
    example = TableSource(path=frame, target="label").example()
    assert type(example["member"][0]) is bool
    assert example["member"][1] is None
