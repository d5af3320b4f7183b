"""Test set-up for all packages: shapes in signatures are checked, threads are few, real data are found."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# Before anything of ours is imported: where tensors are, every annotated shape is checked in every test.
CORE = (
    "lengths layout mask view encoding decoder encoder objective source distributed nets views objectives engine evaluate "
    "renderer look report testing.toy"
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


@pytest.fixture(autouse=True)
def own_store() -> Iterator[None]:
    """No test hands its tracking store on: `mlflow.set_tracking_uri` sets it in the environment too, for all tests to come."""
    given = os.environ.get("MLFLOW_TRACKING_URI")
    yield
    if os.environ.get("MLFLOW_TRACKING_URI") != given and (mlflow := sys.modules.get("mlflow")):
        mlflow.set_tracking_uri(given)


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real data sets; skips where there is none."""
    folder = Path(os.environ.get("MANYVIEWS_DATA", Path(__file__).parent.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no real data: set MANYVIEWS_DATA")
    return folder
