"""Where real images lie."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def images(realdata: Path) -> Path:
    """The folder of real satellite images."""
    return realdata / "satellite"
