"""A small table as a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from manyviews_tabular.testing import small_table


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """The table that the tabular domain is tried on."""
    path = tmp_path / "table.csv"
    small_table().to_csv(path, index=False)
    return path
