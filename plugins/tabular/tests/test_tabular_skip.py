"""`on_error: skip`: what cannot be used is left out, counted and listed, and everything else stays in step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from manyviews.errors import DataError
from manyviews.source import Labels
from manyviews_tabular.source import TableSource


def frame(rows: int = 60, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    x = random.normal(size=rows).round(3)
    return pd.DataFrame({"x": x, "kind": random.choice(["a", "b"], rows), "label": np.where(x > 0, "big", "small")})


def with_bad(rows: int = 60) -> pd.DataFrame:
    """Row 7 is infinite, row 20 is text, row 21 is missing, which is no fault."""
    bad = frame(rows).astype({"x": object})
    bad.loc[7, "x"], bad.loc[20, "x"], bad.loc[21, "x"] = np.inf, "oops", None
    return bad


def labels(source: TableSource) -> Labels:
    found = source.labels()
    assert found is not None
    return found


def test_rows_with_bad_cells_are_left_out_and_labels_stay_in_step(tmp_path: Path) -> None:
    with_bad().to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError):
        TableSource(path=str(tmp_path / "t.csv"), target="label")
    source = TableSource(path=str(tmp_path / "t.csv"), target="label", on_error="skip")
    assert len(source) == 58
    assert source.skipped == ["t.csv: row 7: x is 'inf'", "t.csv: row 20: x is 'oops'"]
    kept = frame().drop(index=[7, 20])
    names = np.array(labels(source).classes)[labels(source).values]
    assert list(names) == list(kept["label"])
    assert source.fingerprint()["rows"] == 58
    batch = source.batch(np.arange(58))
    assert batch.missing[19, 0], "row 21 of the file is missing, not skipped"
    assert bool(batch.values.isfinite().all())


def test_sound_data_are_the_same_either_way(tmp_path: Path) -> None:
    frame().to_parquet(tmp_path / "t.parquet", row_group_size=20)
    for memory in (0.0, 1.0):
        both = [
            TableSource(path=str(tmp_path / "t.parquet"), target="label", memory=memory, on_error=way)
            for way in ("raise", "skip")
        ]
        assert both[1].skipped == []
        assert both[0].spec == both[1].spec
        assert list(both[0].splits()) == list(both[1].splits())
        assert both[0].fingerprint() == both[1].fingerprint()


def test_files_of_a_folder_that_cannot_be_used_are_left_out(tmp_path: Path) -> None:
    frame().to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / "b.csv").touch()
    (tmp_path / "c.csv").write_text("x,kind,label\n1,2,3,4\n")
    frame().drop(columns="kind").to_csv(tmp_path / "d.csv", index=False)
    (tmp_path / "e.parquet").write_bytes(b"nothing of the kind")
    with_bad().to_csv(tmp_path / "f.csv", index=False)
    source = TableSource(path=str(tmp_path), target="label", on_error="skip")
    assert len(source) == 60 + 58
    assert len(source.skipped) == 6
    for name, why in {
        "b": "is empty",
        "c": "Expected 3 columns",
        "d": "lacks column 'kind'",
        "e": "no readable Parquet",
    }.items():
        assert any(f"{name}." in line and why in line for line in source.skipped), name
    assert all("\n" not in line for line in source.skipped)
    assert list(source.fingerprint()["files"]) == ["a.csv", "f.csv"]


def test_a_row_group_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    frame().to_parquet(path, row_group_size=20)
    content = bytearray(path.read_bytes())
    content[4:60] = b"\xff" * 56
    path.write_bytes(content)
    source = TableSource(path=str(path), target="label", memory=0.0, on_error="skip")
    assert len(source) == 40
    assert "row group 0 cannot be read" in source.skipped[0]
    assert source.skipped[0].endswith("(20 rows)")
    assert source.blocks == (0, 20, 20)
    assert list(np.array(labels(source).classes)[labels(source).values]) == list(frame()["label"][20:])
    assert len(source.batch(np.array([39, 0, 20]))) == 3


def test_splits_from_a_file_are_those_of_the_stored_rows(tmp_path: Path) -> None:
    splits = np.array(["train", "valid", "test"])[np.arange(60) % 3]
    pd.DataFrame({"split": splits}).to_csv(tmp_path / "splits.csv", index=False)
    source = TableSource(path=with_bad(), target="label", splits=str(tmp_path / "splits.csv"), on_error="skip")
    assert list(source.splits()) == list(np.delete(splits, [7, 20]))


def test_a_resumed_run_leaves_out_the_same_rows(tmp_path: Path) -> None:
    with_bad().to_csv(tmp_path / "t.csv", index=False)
    one = TableSource(path=str(tmp_path / "t.csv"), target="label", on_error="skip")
    two = TableSource(path=str(tmp_path / "t.csv"), target="label", on_error="skip", spec=one.spec)
    assert two.skipped == one.skipped
    assert two.fingerprint() == one.fingerprint()


def test_bad_dates_and_targets(tmp_path: Path) -> None:
    table = frame().assign(when="2020-01-31", price=np.arange(60.0))
    table["when"] = pd.date_range("2020-01-01", periods=60).astype(str)
    table = table.astype({"price": object})
    table.loc[3, "when"], table.loc[4, "price"] = "soon", "free"
    given = {"types": {"when": "datetime"}, "target": "price", "target_kind": "regression"}
    source = TableSource(path=table, on_error="skip", **given)
    assert [line.partition(": ")[2] for line in source.skipped] == ["row 3: when is 'soon'", "row 4: price is 'free'"]
    assert len(source) == 58


def test_where_nothing_is_left_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    (tmp_path / "b.csv").touch()
    with pytest.raises(DataError, match=r"no file can be used, all 2 were left out; the first: .*a\.csv: the file is empty"):
        TableSource(path=str(tmp_path), on_error="skip")
    with pytest.raises(DataError, match=r"no row can be used, all were left out; the first: .*row 0: x is inf"):
        TableSource(path=pd.DataFrame({"x": [np.inf, np.inf], "k": ["a", "b"]}), on_error="skip")
