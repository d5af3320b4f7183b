"""Fixtures for tests of manyviews and of its plugins: `pytest_plugins = ["manyviews.testing.fixtures"]`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from manyviews.plugins.registry import registry
from manyviews.recipe.load import load_recipe
from manyviews.recipe.model import Recipe

TOY = {
    "domain": "toy",
    "data": {"source": "series", "samples": 96},
    "encoder": {"name": "transformer"},
    "views": {"name": "random_mask"},
    "objective": {"name": "masked_reconstruction"},
    "train": {"steps": 12, "batch_size": 16, "log_every": 2, "checkpoint_every": 4},
    "track": None,
}


def pytest_configure(config: pytest.Config) -> None:
    """The kit's own marker, for packages whose settings do not know it."""
    config.addinivalue_line("markers", "slow: takes more than a few seconds")


def install_fake(folder: Path, distribution: str, name: str, module: str) -> None:
    """A distribution's metadata alone, as if it were installed: its entry point names a module that is there already."""
    info = folder / f"{distribution.replace('-', '_')}-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[manyviews]\n{name} = {module}\n")


@pytest.fixture
def toy_domain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The toy domain is installed, for this process and for those that it starts."""
    folder = tmp_path / "site"
    install_fake(folder, "manyviews-toy", "toy", "manyviews.testing.toy_plugin")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")])))
    registry.cache_clear()
    yield
    registry.cache_clear()


@pytest.fixture
def toy_recipe(toy_domain: None, tmp_path: Path) -> Callable[..., Recipe]:
    """A small recipe of the toy domain that runs in the test's own folder; takes overrides by dotted key."""

    def make(**overrides: Any) -> Recipe:
        dotted = {key.replace("__", "."): value for key, value in overrides.items()}
        return load_recipe(TOY, {"train.folder": str(tmp_path / "runs"), **dotted})

    return make
