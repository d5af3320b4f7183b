"""Every domain reads its data out of an object store as it does from a disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import pytest

from manyviews.engine.parts import build_source
from manyviews.plugins.registry import registry
from manyviews.recipe.files import recipe_names
from manyviews.recipe.load import load_recipe
from manyviews.source import Source
from manyviews.testing.bench import bench_of
from manyviews.testing.compare import difference
from manyviews.testing.recipe_kit import dotted

DOMAINS = [plugin.name for plugin in registry().plugins if plugin.domain and plugin.domain.trial]


@pytest.mark.parametrize("name", DOMAINS)
def test_a_source_is_the_same_under_a_url(
    name: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin = next(plugin for plugin in registry().plugins if plugin.name == name)
    bench = bench_of(plugin.entry_point, tmp_path_factory.mktemp("data"))
    recipe = recipe_names(name)[0]
    settings = dotted(bench.settings(bench.subject.trial.kinds(recipe)[0]))
    monkeypatch.setenv("MANYVIEWS_CACHE", str(tmp_path / "cache"))
    elsewhere = {key: stored(value, bench.folder, name) for key, value in settings.items()}
    assert elsewhere != settings
    here, there = (build_source(load_recipe(recipe, given)) for given in (settings, elsewhere))
    assert len(here) == len(there)
    assert first_batch(here, there) is None
    assert not list(Path(bench.folder).rglob("*.part"))


def stored(value: Any, folder: Path, name: str) -> Any:
    """A path into the folder as the URL of what it names, which is put there."""
    if not isinstance(value, str | Path) or not Path(value).is_relative_to(folder):
        return value
    path = Path(value)
    whole = path if path.is_dir() else path.parent
    place = f"/{name}/{whole.relative_to(folder)}"
    fsspec.filesystem("memory").put(str(whole), place, recursive=True)
    return f"memory:/{place}" if path.is_dir() else f"memory:/{place}#{path.name}"


def first_batch(here: Source, there: Source) -> str | None:
    import numpy as np

    index = np.arange(min(4, len(here)))
    return difference(here.batch(index), there.batch(index))
