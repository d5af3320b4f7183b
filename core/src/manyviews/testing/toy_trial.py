"""The toy domain's trial: series of one length and of several."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from manyviews.testing.trial import Trial


def equal(folder: Path) -> dict[str, Any]:
    """Series of eight steps; drawn, not read."""
    return {"data": {"source": "series", "samples": 48}}


def ragged(folder: Path) -> dict[str, Any]:
    """Series of three to nine steps."""
    return {"data": {"source": "series", "samples": 48, "length": [3, 9]}}


TRIAL = Trial(
    data={"equal": equal, "ragged": ragged},
    variants={"toy/transformer": {"replace": {"hide": "replace"}, "dropout": {"dropout": 0.2}}},
)
