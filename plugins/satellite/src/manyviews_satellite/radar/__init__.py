"""Radar: speckle, and what takes it away."""
