"""Data under a URL are brought here: once, whole, again where they changed, and no more of them than fits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from manyviews import files
from manyviews.errors import DataError, UserError
from manyviews.files import local, local_parameters


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryFileSystem]:
    """An object store with two folders, and a cache."""
    monkeypatch.setenv("MANYVIEWS_CACHE", str(tmp_path / "cache"))
    store: MemoryFileSystem = fsspec.filesystem("memory")
    store.store.clear()
    store.pseudo_dirs[:] = [""]
    store.pipe({"/scans/a.txt": b"a" * 10, "/scans/deep/b.txt": b"b" * 20, "/other/c.txt": b"c" * 30})
    yield store
    store.store.clear()


@pytest.fixture
def brought(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is fetched."""
    seen: list[str] = []
    fetch = files._fetch
    monkeypatch.setattr(files, "_fetch", lambda fs, file, to: (seen.append(file.name), fetch(fs, file, to))[1])
    return seen


def test_paths_and_all_else_are_themselves() -> None:
    given = {"path": "scans/a", "window": r"C:\scans", "rate": 16000, "none": None, "paths": ["s3://x"]}
    assert local_parameters(given) == given


def test_a_folder_is_brought_once(store: MemoryFileSystem, brought: list[str]) -> None:
    folder = Path(local("memory://scans"))
    assert (folder / "a.txt").read_bytes() == b"a" * 10
    assert (folder / "deep" / "b.txt").read_bytes() == b"b" * 20
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == ["a.txt", "b.txt"]
    assert local("memory://scans") == str(folder)
    assert brought == ["a.txt", "deep/b.txt"]


def test_a_file_is_itself(store: MemoryFileSystem) -> None:
    path = Path(local("memory://scans/deep/b.txt"))
    assert path.name == "b.txt"
    assert path.read_bytes() == b"b" * 20


def test_what_changed_is_brought_anew_and_what_is_gone_goes(store: MemoryFileSystem, brought: list[str]) -> None:
    folder = Path(local("memory://scans"))
    store.pipe("/scans/a.txt", b"other")
    store.rm("/scans/deep/b.txt")
    assert Path(local("memory://scans")) == folder
    assert brought == ["a.txt", "deep/b.txt", "a.txt"]
    assert (folder / "a.txt").read_bytes() == b"other"
    assert not (folder / "deep" / "b.txt").exists()


def test_a_torn_transfer_leaves_nothing_half_brought(store: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    get = MemoryFileSystem.get_file

    def torn(self: Any, where: str, to: str, **more: Any) -> None:
        Path(to).write_bytes(b"b")
        raise OSError("connection reset")

    monkeypatch.setattr(MemoryFileSystem, "get_file", torn)
    with pytest.raises(DataError, match=r"/scans/a.txt: cannot be brought here \(connection reset\)"):
        local("memory://scans")
    monkeypatch.setattr(MemoryFileSystem, "get_file", get)
    assert (Path(local("memory://scans")) / "a.txt").read_bytes() == b"a" * 10


def test_what_was_used_longest_ago_goes_where_the_cache_is_full(
    store: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_in_use", lambda entry: False)
    folder = Path(local("memory://scans"))
    names = sum(path.stat().st_size for path in files.cache_folder().rglob("*") if path.is_file())
    monkeypatch.setenv("MANYVIEWS_CACHE_GB", str((names + 20) / files.GIGA))
    other = Path(local("memory://other"))
    assert (other / "c.txt").exists()
    assert not folder.exists()


def test_what_another_process_reads_stays(store: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(local("memory://scans"))
    monkeypatch.setenv("MANYVIEWS_CACHE_GB", str(50 / files.GIGA))
    with pytest.raises(UserError, match=r"do not fit into the cache in .* beside what other processes are reading there"):
        local("memory://other")
    assert (folder / "a.txt").exists()


def test_what_does_not_fit_is_refused_before_it_is_brought(
    store: MemoryFileSystem, brought: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MANYVIEWS_CACHE_GB", str(25 / files.GIGA))
    with pytest.raises(UserError, match=r"memory://scans: 0\.0 GB, and the cache in .* may hold 0\.0; set MANYVIEWS_CACHE_GB"):
        local("memory://scans")
    assert brought == []


def test_a_file_url_is_the_file(tmp_path: Path) -> None:
    assert local(f"file://{tmp_path}") == str(tmp_path)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nosuch://bucket/x", "nosuch://bucket/x: Protocol not known: nosuch"),
        ("memory://nothing", "memory://nothing: there is nothing there"),
    ],
)
def test_what_cannot_be_had_is_said(store: MemoryFileSystem, url: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        local(url)


def test_a_filesystem_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(url: str) -> Any:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(UserError, match="s3://bucket/x: its filesystem is not installed here: Install s3fs to access S3"):
        local("s3://bucket/x")


def test_a_limit_that_is_no_number_is_refused(store: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MANYVIEWS_CACHE_GB", "much")
    with pytest.raises(UserError, match="MANYVIEWS_CACHE_GB: 'much' is no number of gigabytes"):
        local("memory://scans")


def test_ages_agree_between_machines(store: MemoryFileSystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fingerprint of names, sizes and times is the same wherever the files were brought to."""
    times = []
    for machine in ("one", "two"):
        monkeypatch.setenv("MANYVIEWS_CACHE", str(tmp_path / machine))
        times.append(os.stat(Path(local("memory://scans")) / "a.txt").st_mtime)
    assert times[0] == times[1]
