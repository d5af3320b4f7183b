"""Splits and labels."""

from __future__ import annotations

import numpy as np
import pandas as pd

from manyviews_tabular.source import TableSource


def table(rows: int = 1000) -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "x": random.normal(size=rows),
            "who": random.integers(0, 100, rows),
            "y": random.choice(["n", "y"], rows, p=[0.9, 0.1]),
        }
    )


def test_shares_are_kept_in_every_class():
    source = TableSource(path=table(), target="y")
    splits, labels = source.splits(), source.labels().values
    for label in (0, 1):
        shares = [(splits[labels == label] == name).mean() for name in ("valid", "test")]
        np.testing.assert_allclose(shares, [0.1, 0.2], atol=0.01)
    np.testing.assert_array_equal(splits, TableSource(path=table(), target="y").splits())
    assert (splits != TableSource(path=table(), target="y", split_seed=1).splits()).any()


def test_unlabelled_tables_train_whole():
    assert (TableSource(path=table()[["x", "who"]]).splits() == "train").all()


def test_groups_are_never_parted():
    source = TableSource(path=table(), target="y", group="who", splits={"valid": 0.2, "test": 0.3})
    splits, groups = source.splits(), source.groups()
    assert "who" not in source.spec.tokens
    for group in np.unique(groups):
        assert len(set(splits[groups == group])) == 1
    np.testing.assert_allclose([(splits == name).mean() for name in ("valid", "test")], [0.2, 0.3], atol=0.03)


def test_a_file_without_valid_rows_gives_a_tenth_of_its_training_rows(tmp_path):
    given = np.array(["train", "test"])[np.random.default_rng(1).integers(0, 2, 1000)]
    pd.DataFrame({"split": given}).to_csv(tmp_path / "s.csv", index=False)
    splits = TableSource(path=table(), target="y", splits=str(tmp_path / "s.csv")).splits()
    np.testing.assert_array_equal(splits == "test", given == "test")
    np.testing.assert_allclose((splits[given == "train"] == "valid").mean(), 0.1, atol=0.005)


def test_a_new_table_need_not_match_the_split_file(tmp_path):
    pd.DataFrame({"split": ["train"] * 1000}).to_csv(tmp_path / "s.csv", index=False)
    source = TableSource(path=table(), splits=str(tmp_path / "s.csv"))
    assert len(TableSource(path=table(10), splits=str(tmp_path / "s.csv"), spec=source.spec).batch(np.arange(10))) == 10


def test_kinds_of_target():
    frame = table()
    frame["k"] = np.random.default_rng(0).integers(0, 3, 1000)
    assert TableSource(path=frame, target="y").labels().classes == ("n", "y")
    assert TableSource(path=frame, target="k").labels().classes == ("0", "1", "2")
    assert TableSource(path=frame, target="x").labels().kind == "regression"
    assert TableSource(path=frame, target="k", target_kind="regression").labels().values.dtype == np.float64
    assert len(TableSource(path=frame, target="x", target_kind="classification").labels().classes) == 1000


def test_rows_without_a_label():
    frame = table(100)
    frame.loc[:9, "y"] = None
    labels = TableSource(path=frame, target="y").labels()
    np.testing.assert_array_equal(labels.values[:10], -1)
    frame.loc[:9, "x"] = np.nan
    assert np.isnan(TableSource(path=frame, target="x").labels().values[:10]).all()


def test_new_data_are_labelled_as_the_training_data_were():
    spec = TableSource(path=table(), target="y").spec
    new = TableSource.reading(table(200), spec)
    assert new.labels().name == "y"
    assert set(new.splits()) == {"train", "valid", "test"}
    unlabelled = TableSource.reading(table(200).drop(columns="y"), spec)
    assert unlabelled.labels() is None
    assert (unlabelled.splits() == "train").all()
    numbers = TableSource(path=table(), target="x", target_kind="regression").spec
    assert TableSource.reading(table(200), numbers).labels().kind == "regression"
