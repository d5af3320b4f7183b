"""Small sounds as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from manyviews_speech.synth import write_sounds


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """The manifest of 30 small sounds."""
    return write_sounds(tmp_path)
