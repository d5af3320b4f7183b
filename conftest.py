"""Test set-up for all packages: shapes in signatures are checked, threads are few, real data are found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# Before anything of ours is imported: where tensors are, every annotated shape is checked in every test.
CORE = (
    "lengths layout mask view encoding decoder encoder objective source distributed nets views objectives engine evaluate "
    "testing.toy"
)
PLUGINS = sorted(f"manyviews_{path.name}" for path in (Path(__file__).parent / "plugins").iterdir())
install_import_hook([*(f"manyviews.{name}" for name in CORE.split()), *PLUGINS], "beartype.beartype")
pytest.register_assert_rewrite("manyviews.testing")
pytest_plugins = ["manyviews.testing.fixtures"]


@pytest.fixture(scope="session", autouse=True)
def few_threads() -> None:
    """Two test processes on two cores: more threads would only wait for one another."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real data sets; skips where there is none."""
    folder = Path(os.environ.get("MANYVIEWS_DATA", Path(__file__).parent.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no real data: set MANYVIEWS_DATA")
    return folder
