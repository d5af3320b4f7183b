"""Satellite and aerial images for manyviews."""
