"""YAML 1.2's core schema: what looks like a number is one, and nothing else is."""

from __future__ import annotations

import math

import pytest

from manyviews.recipe.reader import dump, parse
from manyviews.recipe.tree import leaves, plain


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001), ("1E5", 100000.0), ("1.e3", 1000.0), (".5", 0.5), ("-2.5e+3", -2500.0), ("+1", 1), ("007", 7),
        ("0x1f", 31), ("0o17", 15), ("-.inf", -math.inf), ("true", True), ("False", False), ("null", None), ("~", None),
        ("no", "no"), ("on", "on"), ("yes", "yes"), ("12:30", "12:30"), ("2020-01-01", "2020-01-01"),
        ("1_000", "1_000"), ("1.2.3", "1.2.3"), ("e3", "e3"), ("'1e-3'", "1e-3"), ("!!str 3", "3"), ("!!float 3", 3.0),
        ("<<", "<<"), ("=", "="), ("", None),
    ],
)  # fmt: skip
def test_scalars(text: str, value: object) -> None:
    found = plain(parse(f"a: {text}", "t"))["a"]
    assert type(found) is type(value)
    assert found == value


def test_not_a_number_is_a_float() -> None:
    assert math.isnan(plain(parse("a: .nan", "t"))["a"])


def test_every_value_knows_its_line() -> None:
    node = parse("a:\n  b: 1\n  c:\n  - x\n  - {d: 2}\n", "f.yaml")
    places = {".".join(map(str, path)): below.where for path, below in leaves(node) if path}
    assert places == {
        "a": "f.yaml:1",
        "a.b": "f.yaml:2",
        "a.c": "f.yaml:3",
        "a.c.0": "f.yaml:4",
        "a.c.1": "f.yaml:5",
        "a.c.1.d": "f.yaml:5",
    }


@pytest.mark.parametrize("text", ["a: ???", "{a: ???}", "{a: ???, b: 1}", "{a: ??? }", "{a: ???\n}"])
def test_the_mark_of_a_mandatory_value_needs_no_quotes(text: str) -> None:
    assert plain(parse(text, "t"))["a"] == "???"


def test_keys_are_text() -> None:
    assert plain(parse("1: a\ntrue: b", "t")) == {"1": "a", "true": "b"}


def test_what_is_written_reads_back() -> None:
    value = {"a": [1, 2.5, "1e-3", None, True, "true", {"b": []}], "c": {}, "d": "long " * 60, "e": "two\nlines"}
    assert plain(parse(dump(value), "t")) == value
