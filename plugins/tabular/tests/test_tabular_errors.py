"""Every bad table is one clear sentence that names the file or column and the way to mend it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from manyviews.errors import DataError, UserError
from manyviews_tabular.source import TableSource


def refused(match: str, **parameters: object) -> str:
    with pytest.raises(DataError, match=match) as caught:
        TableSource(**parameters)
    message = str(caught.value)
    assert len(message.splitlines()) <= 3
    return message


def test_missing_file(tmp_path):
    assert "CSV, Parquet" in refused(r"nowhere\.csv: there is no such file", path=str(tmp_path / "nowhere.csv"))


def test_empty_folder(tmp_path):
    refused("the folder holds no table", path=str(tmp_path))


def test_unknown_type_of_file(tmp_path):
    (tmp_path / "t.xlsx").write_bytes(b"x")
    refused(r"files of type '.xlsx' are no tables", path=str(tmp_path / "t.xlsx"))


def test_empty_file(tmp_path):
    (tmp_path / "t.csv").touch()
    refused("the file is empty", path=str(tmp_path / "t.csv"))


def test_header_only(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n")
    refused("t.csv: the table has no rows", path=str(tmp_path / "t.csv"))


def test_ragged_csv(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3,4,5\n")
    refused("no readable CSV.*Expected 2 columns, got 3", path=str(tmp_path / "t.csv"))


@pytest.mark.parametrize("suffix", ["parquet", "feather"])
def test_damaged_file(tmp_path, suffix):
    (tmp_path / f"t.{suffix}").write_bytes(b"not a table at all")
    refused("no readable", path=str(tmp_path / f"t.{suffix}"))


def test_duplicate_column(tmp_path):
    (tmp_path / "t.csv").write_text("a,b,a\n1,2,3\n")
    refused("column 'a' is there 2 times", path=str(tmp_path / "t.csv"))
    refused("column 'a' is there 2 times", path=pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_empty_frame():
    refused("the table has no rows", path=pd.DataFrame({"a": []}))


def test_missing_columns_are_named(frame):
    spec = TableSource(path=frame, target="label").spec
    refused("column 'age' missing", path=frame.drop(columns="age"), spec=spec)
    refused("columns 'age', 'city' missing", path=frame.drop(columns=["age", "city"]), spec=spec)


def test_mixed_types_name_column_row_and_value(tmp_path):
    frame = pd.DataFrame({"age": [31, 44, "unknown", 28, 59], "c": list("abaab")})
    frame.to_csv(tmp_path / "t.csv", index=False)
    for path in (frame, str(tmp_path / "t.csv")):
        message = refused("column 'age' holds numbers, but row 2 .* holds 'unknown'", path=path)
        assert "types={age: categorical}" in message
        assert "data.missing" in message
        assert TableSource(path=path, types={"age": "categorical"}).spec.numeric == ()
        assert TableSource(path=path, missing=["unknown"]).spec.numeric[0].missing == pytest.approx(0.2)


def test_mixed_types_at_embedding_time(tmp_path):
    spec = TableSource(path=pd.DataFrame({"x": [1.0, 2.0, 3.0], "c": list("aba")})).spec
    refused(
        "column 'x' holds numbers, but row 1 .* holds 'two'", path=pd.DataFrame({"x": ["1", "two"], "c": ["a", "b"]}), spec=spec
    )


def test_junk_beyond_the_training_rows(tmp_path):
    frame = pd.DataFrame({"x": ["1", "2", "3", "4", "oops"], "c": list("ababa")})
    pd.DataFrame({"split": ["train"] * 3 + ["valid", "test"]}).to_csv(tmp_path / "s.csv", index=False)
    refused("column 'x' holds numbers, but row 4 .* holds 'oops'", path=frame, splits=str(tmp_path / "s.csv"))


def test_bad_date():
    frame = pd.DataFrame({"t": ["2020-01-01", "2020-02-01", "soon"], "c": list("aba")})
    refused("column 't' holds dates, but row 2 .* holds 'soon'", path=frame, types={"t": "datetime"})


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_numbers(tmp_path, value):
    frame = pd.DataFrame({"x": [1.0, 2.0, value, 4.0], "c": list("abab")})
    refused("column 'x' is infinite in row 2", path=frame)
    frame.to_csv(tmp_path / "t.csv", index=False)
    refused("column 'x' is infinite in row 2", path=str(tmp_path / "t.csv"))


def test_target_not_there(frame):
    refused(r"no column 'lable' \(data.target\).\nDid you mean 'label'", path=frame, target="lable")


def test_unknown_columns_in_types_ignore_and_group(frame):
    refused(r"no column 'agee' \(data.types\).\nDid you mean 'age'", path=frame, types={"agee": "numeric"})
    refused(r"no column 'nothing' \(data.ignore\)", path=frame, ignore=["nothing"])
    refused(r"no column 'household' \(data.group\)", path=frame, group="household")


def test_target_of_the_wrong_kind(frame):
    refused("the target 'label' is to be a number", path=frame, target="label", target_kind="regression")


def test_nothing_left_to_learn_from():
    refused("no column is left .*a: all its values are equal", path=pd.DataFrame({"a": [1, 1], "b": [None, None]}))


def test_bad_splits(frame, tmp_path):
    path = tmp_path / "s.csv"
    refused("there is no file", path=frame, splits=str(path))
    path.write_text("fold\ntrain\n")
    refused("there is no column 'split'", path=frame, splits=str(path))
    path.write_text("split\ntrain\n")
    refused("1 splits for 60 rows", path=frame, splits=str(path))
    path.write_text("split\n" + "train\n" * 59 + "hold\n")
    refused("'hold' is no split", path=frame, splits=str(path))
    path.write_text("split\n" + "test\n" * 60)
    refused("no row is a training row", path=frame, splits=str(path))
    refused("leave nothing to train on", path=frame, splits={"valid": 0.5, "test": 0.5})
    refused("'dev' is no split with a share", path=frame, splits={"dev": 0.5})


def test_files_of_different_tables(tmp_path):
    pd.DataFrame({"a": [1], "b": [2]}).to_csv(tmp_path / "1.csv", index=False)
    pd.DataFrame({"a": [1]}).to_csv(tmp_path / "2.csv", index=False)
    refused("2.csv lacks column 'b', which 1.csv has", path=str(tmp_path))


def test_files_that_disagree_about_a_type(tmp_path):
    pd.DataFrame({"a": [1, 2], "b": [1.0, 2.0]}).to_parquet(tmp_path / "1.parquet")
    pd.DataFrame({"a": ["x", "y"], "b": [1.0, 2.0]}).to_parquet(tmp_path / "2.parquet")
    refused("disagree about a column's type", path=str(tmp_path))


def test_columns_of_lists_are_left_out(tmp_path):
    frame = pd.DataFrame({"a": [1.0, 2.0], "l": [[1], [2, 3]]})
    assert "neither numbers, text nor dates" in TableSource(path=frame).spec.dropped["l"]


def test_errors_are_the_users(frame):
    assert issubclass(DataError, UserError)
