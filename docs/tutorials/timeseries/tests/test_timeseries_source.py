"""What is this domain's own: windows, what probes predict, and what is said of bad files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from manyviews_timeseries.source import TimeseriesSource
from manyviews_timeseries.trial import draw, write

from manyviews.errors import DataError


def test_windows_and_what_is_forecast(tmp_path: Path) -> None:
    rows = [f"2024-01-01 {hour:02},{hour},{-hour}" for hour in range(24)]
    (tmp_path / "day.csv").write_text("\n".join(["time,up,down", *rows]))
    source = TimeseriesSource(path=str(tmp_path / "day.csv"), window=8, stride=4, forecast="up", ahead=3)
    assert source.spec.channels == ("up", "down")
    assert source.batch(np.array([1])).values[0, :, 0].tolist() == list(range(4, 12))
    labels = source.labels()
    assert labels is not None
    assert labels.values.tolist() == [10.0, 14.0, 18.0, 22.0]


def test_of_one_file_the_later_windows_test(tmp_path: Path) -> None:
    write(tmp_path / "hours.csv", 300, 24, 0)
    splits = TimeseriesSource(path=str(tmp_path / "hours.csv"), window=20, stride=10).splits().tolist()
    assert splits == sorted(splits, key=["train", "valid", "test"].index)
    assert set(splits) == {"train", "valid", "test"}


def test_no_training_window_reaches_into_a_later_split(tmp_path: Path) -> None:
    write(tmp_path / "hours.csv", 300, 24, 0)
    source = TimeseriesSource(path=str(tmp_path / "hours.csv"), window=20, stride=5, forecast="load", ahead=7)
    splits = source.splits()
    assert source.starts[splits == "train"].max() + 20 + 7 <= 0.7 * 300
    assert source.starts[splits == "valid"].min() + 20 + 7 > 0.7 * 300


def test_a_folder_of_classes_is_split_by_file(tmp_path: Path) -> None:
    draw(tmp_path)
    source = TimeseriesSource(path=str(tmp_path), window=24, stride=24)
    labels = source.labels()
    assert labels is not None
    assert labels.classes == ("busy", "calm")
    for file in np.unique(source.owners):
        assert len(set(source.splits()[source.owners == file])) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("load,price\n1,2\n3,\n", "line 3, price has no number"),
        ("load,price\n", "no columns of numbers"),
        ("load,other\n1,2\n", "channels load, other; a.csv has load, price"),
    ],
)
def test_a_bad_file_is_named(text: str, message: str, tmp_path: Path) -> None:
    write(tmp_path / "a.csv", 200, 24, 0)
    header, *rows = (tmp_path / "a.csv").read_text().splitlines()
    (tmp_path / "a.csv").write_text("\n".join(line.partition(",")[2] for line in (header, *rows)))
    (tmp_path / "z_bad.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        TimeseriesSource(path=str(tmp_path))
    assert "z_bad.csv" in str(caught.value)
    assert message in str(caught.value)


def test_what_cannot_be_cut_or_forecast_is_said(tmp_path: Path) -> None:
    write(tmp_path / "hours.csv", 50, 24, 0)
    with pytest.raises(DataError, match="no file has 96 steps"):
        TimeseriesSource(path=str(tmp_path / "hours.csv"))
    with pytest.raises(DataError, match="there is no channel 'laod'; there are hour, load, price"):
        TimeseriesSource(path=str(tmp_path / "hours.csv"), window=8, forecast="laod")
