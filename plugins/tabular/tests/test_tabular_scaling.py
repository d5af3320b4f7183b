"""Scaling and quantile bins."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata

from manyviews_tabular.scaling import fit_scaling, quantile_bins


@pytest.mark.parametrize("values", [np.arange(40.0), np.repeat([0.0, 0, 0, 1, 7], 20), np.r_[np.zeros(900), np.arange(1, 101)]])
def test_quantile_scaling_is_the_mid_distribution(values):
    scaled = fit_scaling("quantile_uniform", values)(values)
    wanted = 2 * (rankdata(values) - 0.5) / len(values) - 1
    np.testing.assert_allclose(scaled, wanted, atol=1e-12)


def test_quantile_scaling_of_many_values_is_nearly_normal():
    x = np.random.default_rng(0).lognormal(sigma=3, size=50_000)
    y = fit_scaling("quantile", x)(x)
    np.testing.assert_allclose([y.mean(), y.std()], [0, 1], atol=0.02)
    assert np.abs(y).max() < 3.1


def test_different_values_stay_different():
    x = np.r_[np.zeros(9000), np.random.default_rng(0).lognormal(size=1000)]
    x = np.unique(x)
    y = fit_scaling("quantile", x)(x)
    assert (np.diff(y) > 0).all()


def test_values_beyond_the_training_range_and_missing_ones():
    scaling = fit_scaling("quantile", np.arange(100.0))
    y = scaling(np.array([-5, 0, 99, 1e9, np.nan]))
    assert y[0] == y[1]
    assert y[2] == y[3]
    assert np.isnan(y[4])


def test_standard_and_robust():
    x = np.r_[np.arange(100.0), 1e6]
    assert fit_scaling("standard", x)(x).std() == pytest.approx(1)
    robust = fit_scaling("robust", x)
    assert robust(np.array([50.0]))[0] == pytest.approx(0)
    assert robust(np.array([75.0]))[0] - robust(np.array([25.0]))[0] == pytest.approx(1)
    assert np.isfinite(fit_scaling("robust", np.r_[np.zeros(99), 1.0])(x)).all()


def test_bins_of_few_values_are_the_values():
    np.testing.assert_array_equal(quantile_bins(np.repeat([3.0, 1, 2], 5), 32), [2, 3])


def test_bins_hold_about_equally_many():
    x = np.random.default_rng(0).normal(size=10_000)
    edges = quantile_bins(x, 32)
    counts = np.bincount(np.searchsorted(edges, x, side="right"))
    assert len(counts) == 32
    np.testing.assert_allclose(counts, 10_000 / 32, rtol=0.05)


def test_no_bin_of_a_tied_column_is_empty():
    x = np.r_[np.zeros(900), np.arange(1, 101)]
    counts = np.bincount(np.searchsorted(quantile_bins(x, 32), x, side="right"))
    assert counts.min() > 0
    assert counts[0] >= 900


def test_what_is_beside_a_heavy_value_is_told_apart():
    x = np.r_[np.zeros(9000), np.random.default_rng(0).lognormal(size=1000)]
    edges = quantile_bins(x, 32)
    counts = np.bincount(np.searchsorted(edges, x, side="right"))
    assert len(counts) == 32
    assert counts[0] == 9000
    np.testing.assert_allclose(counts[1:], 1000 / 31, atol=1)


def test_several_heavy_values_each_begin_a_bin():
    x = np.r_[np.repeat([0.0, 40], 400), np.random.default_rng(0).uniform(1, 80, 200)]
    edges = quantile_bins(x, 16)
    assert 40 in edges
    assert len(edges) <= 15
    assert np.bincount(np.searchsorted(edges, x, side="right")).min() > 0
