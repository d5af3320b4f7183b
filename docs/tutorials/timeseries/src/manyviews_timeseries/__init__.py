"""Timeseries data for manyviews."""
