"""Four real tables, read as their keepers describe them."""

from __future__ import annotations

import numpy as np
import pytest

from manyviews_tabular.source import TableSource

pytestmark = pytest.mark.realdata


def load(realdata, name: str, target: str, **parameters: object) -> TableSource:
    folder = realdata / "tabular"
    return TableSource(path=str(folder / f"{name}.csv"), target=target, splits=str(folder / f"{name}_split.csv"), **parameters)


def counts(source: TableSource) -> dict[str, int]:
    return dict(zip(*np.unique(source.splits(), return_counts=True), strict=True))


def test_adult(realdata):
    source = load(realdata, "adult", "income")
    assert len(source) == 48_842
    assert (len(source.spec.numeric), len(source.spec.categorical)) == (6, 8)
    assert source.labels().classes == ("<=50K", ">50K")
    assert counts(source) == {"train": 29_305, "valid": 3_256, "test": 16_281}
    batch = source.batch(np.arange(len(source)))
    assert int(batch.missing.sum()) + int((batch.codes == 0).sum()) == 6_465
    gain = batch.values[:, source.spec.tokens.index("capital_gain")]
    assert gain.std() > 0.3  # min-max scaling would leave .07


def test_california(realdata):
    source = load(realdata, "california_housing", "median_house_value")
    assert (len(source.spec.numeric), len(source.spec.categorical)) == (8, 1)
    assert source.labels().kind == "regression"
    assert int(source.batch(np.arange(len(source))).missing.sum()) == 207


def test_covertype(realdata):
    source = load(realdata, "covertype_20k", "Cover_Type")
    assert len(source.spec.categorical) == 0
    assert len(source.labels().classes) == 7
    assert all("equal" in reason for reason in source.spec.dropped.values())
    assert len(source.spec.numeric) + len(source.spec.dropped) == 54
    assert source.features(np.arange(100)).shape == (100, len(source.spec.numeric))


def test_telco(realdata):
    source = load(realdata, "telco_churn", "Churn", types={"SeniorCitizen": "categorical"})
    assert set(source.spec.dropped) == {"customerID"}
    assert [column.name for column in source.spec.numeric] == ["tenure", "MonthlyCharges", "TotalCharges"]
    assert len(source.spec.categorical) == 16
    assert int(source.batch(np.arange(len(source))).missing.sum()) == 11
    assert source.labels().classes == ("No", "Yes")


def test_parquet_of_adult_is_adult(realdata, tmp_path):
    import pandas as pd

    folder = realdata / "tabular"
    pd.read_csv(folder / "adult.csv").to_parquet(tmp_path / "adult.parquet", row_group_size=5000)
    source = load(realdata, "adult", "income")
    streamed = TableSource(
        path=str(tmp_path / "adult.parquet"), target="income", splits=str(folder / "adult_split.csv"), memory=0.0
    )
    assert streamed.spec == source.spec
    index = np.random.default_rng(0).permutation(len(source))[:500]
    np.testing.assert_array_equal(streamed.batch(index).codes, source.batch(index).codes)
    np.testing.assert_array_equal(streamed.batch(index).values, source.batch(index).values)
