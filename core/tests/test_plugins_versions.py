"""The short way of comparing versions agrees with `packaging`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from packaging.requirements import InvalidRequirement
from packaging.specifiers import SpecifierSet

from manyviews.plugins import versions

SIGNS = ("~=", "==", "!=", "<=", ">=", "<", ">")
BOUNDS = ("0.1", "0.1.0", "0.1.2", "0.2", "0.0.9", "1.0", "0.1.0.0", "0.10")


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    versions.core_satisfies.cache_clear()
    yield
    versions.core_satisfies.cache_clear()


@pytest.mark.parametrize("core", ["0.1", "0.1.0", "0.1.2", "0.2.0", "1.0", "0.10.1"])
def test_plain_requirements_are_judged_as_packaging_does(core: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "core_version", lambda: core)
    monkeypatch.setattr(versions, "_asks_packaging", lambda requirement: pytest.fail(f"{requirement} is plain"))
    for sign, bound in itertools.product(SIGNS, BOUNDS):
        for text in (f"{sign}{bound}", f"{sign} {bound}, <2"):
            assert versions.core_satisfies(f"manyviews{text}") == SpecifierSet(text).contains(core), (core, text)
        versions.core_satisfies.cache_clear()
    assert versions.core_satisfies("manyviews")


@pytest.mark.parametrize(
    ("requirement", "holds"),
    [
        ("manyviews~=0.1.0; python_version < '3'", True),
        ("manyviews<0.1; extra == 'old'", True),
        ("manyviews==0.1.*", True),
        ("manyviews[mlflow]>=0.1.0a1", True),
        ("manyviews==0.2.*", False),
    ],
)
def test_all_else_is_left_to_packaging(requirement: str, holds: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "core_version", lambda: "0.1.3")
    assert versions.core_satisfies(requirement) is holds


def test_a_development_version_of_the_core_satisfies_its_own_minor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "core_version", lambda: "0.1.1.dev3")
    assert versions.core_satisfies("manyviews~=0.1.0")
    with pytest.raises(InvalidRequirement):
        versions.core_satisfies("manyviews about 1")
