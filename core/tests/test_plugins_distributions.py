"""What is installed, read from folders: the same as `importlib.metadata` finds, without importing it."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib.machinery import PathFinder
from importlib.metadata import DistributionFinder, PathDistribution
from pathlib import Path
from typing import Any

import pytest

from manyviews.plugins.distributions import version_of
from manyviews.plugins.installed import GROUP, Installed, installed_plugins
from manyviews.testing.fixtures import install_fake


def by_library() -> list[tuple[str, str, str, str]]:
    """Name, module, distribution, version of every entry point, as the library has them."""
    found = importlib.metadata.entry_points(group=GROUP)
    return sorted((one.name, one.value, one.dist.name, one.dist.version) for one in found if one.dist)


def by_us() -> list[tuple[str, str, str, str]]:
    return sorted((one.name, one.module, one.distribution, one.version) for one in installed_plugins())


def named(name: str) -> Installed:
    (found,) = [plugin for plugin in installed_plugins() if plugin.name == name]
    return found


class Finder(DistributionFinder):
    """A finder of somebody's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find_spec(self, *_: Any) -> None:
        return None

    def find_distributions(self, context: DistributionFinder.Context | None = None) -> Iterator[PathDistribution]:
        yield from map(PathDistribution, self.folder.glob("*.dist-info"))


@pytest.fixture(autouse=True)
def only_pythons_own_finder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backport `importlib_metadata`, which other tests bring with MLflow, puts its finder in the place of Python's."""
    plain = [finder for finder in sys.meta_path if finder is PathFinder or not hasattr(finder, "find_distributions")]
    monkeypatch.setattr(sys, "meta_path", plain)
    own = staticmethod(importlib.metadata.MetadataPathFinder.find_distributions)
    monkeypatch.setattr(PathFinder, "find_distributions", own, raising=False)


@pytest.fixture(params=["read here", "by the library"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Both ways to find what is installed: a finder of somebody's own leaves it to the library."""
    if request.param == "by the library":
        monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder(tmp_path / "nothing")])
    return str(request.param)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which distributions can be installed."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    return folder


def test_the_same_as_the_library_finds_here_without_asking_it(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_fake(site, "manyviews-One.Two", "one", "somewhere.plugin")
    expected = by_library()
    with monkeypatch.context() as patch:
        patch.setattr(importlib.metadata, "distributions", None)
        assert by_us() == expected
    assert ("one", "somewhere.plugin", "manyviews-One.Two", "0.1.0") in expected
    for name in ("manyviews", "pluggy", "PyYAML", "click"):
        assert version_of(name) == importlib.metadata.version(name)
    with pytest.raises(importlib.metadata.PackageNotFoundError):
        version_of("nothing-of-this-name")


def test_of_two_of_one_name_the_first_on_the_path_counts(
    way: str, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_fake(site, "manyviews-one", "one", "later.plugin")
    install_fake(tmp_path / "first", "manyviews_One", "one", "earlier.plugin")
    monkeypatch.syspath_prepend(str(tmp_path / "first"))
    assert by_us() == by_library()
    assert named("one").module == "earlier.plugin"


def test_an_old_egg_info_and_a_folder_without_metadata(way: str, site: Path) -> None:
    old = site / "manyviews_old-2.0-py3.11.egg-info"
    old.mkdir()
    (old / "PKG-INFO").write_text("Metadata-Version: 1.0\nName: manyviews-old\nVersion: 2.0\n")
    (old / "entry_points.txt").write_text("# by hand\n[other]\nx = y\n\n[manyviews]\nold = old.plugin [extra]\n[more]\nz = z\n")
    bare = site / "manyviews_bare-1.dist-info"
    bare.mkdir()
    (bare / "entry_points.txt").write_text("[manyviews]\nbare=bare.plugin\n")
    (site / "manyviews_none-1.dist-info").mkdir()
    (site / "stray.egg-info").write_text("a file")
    assert named("old") == Installed("old", "old.plugin", "manyviews-old", "2.0", ())
    assert named("bare") == Installed("bare", "bare.plugin", "?", "?", ())


def test_a_path_that_is_not_there_or_is_the_current_folder(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path / "gone"))
    monkeypatch.chdir(site)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    install_fake(site, "manyviews-one", "one", "one.plugin")
    assert named("one").module == "one.plugin"


def test_distributions_in_a_zip_file_are_found_by_the_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "all.zip"
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr(
            "manyviews_one-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: manyviews-one\nVersion: 1.0\n\nX"
        )
        archive.writestr("manyviews_one-1.0.dist-info/entry_points.txt", "[manyviews]\none = one.plugin\n")
    monkeypatch.syspath_prepend(str(place))
    assert named("one") == Installed("one", "one.plugin", "manyviews-one", "1.0", ())
    assert by_us() == by_library()
    assert version_of("manyviews-one") == "1.0"


def test_a_finder_of_somebodys_own_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_fake(tmp_path, "manyviews-found", "found", "found.plugin")
    assert "found" not in {plugin.name for plugin in installed_plugins()}
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder(tmp_path)])
    assert named("found").module == "found.plugin"


def test_looking_up_plugins_imports_neither_the_library_nor_an_email_parser() -> None:
    code = "from manyviews.cli.main import run; run(['plugins']); import sys; assert {'email', 'importlib.metadata', 'zipfile'}"
    check = f"{code}.isdisjoint(sys.modules), sorted(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True, stdout=subprocess.DEVNULL)
