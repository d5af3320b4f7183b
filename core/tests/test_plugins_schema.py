"""A constructor is a schema: what it accepts, refuses and says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from manyviews.errors import DataError, PluginError, RecipeError
from manyviews.plugins.component import Component
from manyviews.plugins.core import CORE
from manyviews.plugins.registry import Registry, registry
from manyviews.plugins.schema import build, filled, parameters, spec_type, summary, takes_spec

if TYPE_CHECKING:
    from fractions import Fraction


@pytest.fixture
def found(sonar: None) -> Registry:
    return registry()


class Nested(BaseModel):
    """A value of several parts."""

    low: int = 0


class Rich:
    """Says little.

    Args:
        parts: Values of several parts.
        places: Two numbers.
    """

    def __init__(self, *, parts: list[Nested], places: tuple[int, int] = (1, 2), schema: str | None = None) -> None:
        self.given = (parts, places, schema)


class Loose:
    def __init__(self, width: int) -> None: ...


class Unhinted:
    def __init__(self, *, width) -> None: ...  # type: ignore[no-untyped-def]


class Hidden:
    def __init__(self, *, share: Fraction) -> None: ...


class Odd:
    def __init__(self, *, owner: Loose) -> None: ...


class Plain:
    """Needs nothing."""


def rich() -> Component:
    return Component("task", "rich", f"{__name__}:Rich", "tests")


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """pytest's import mode gives a test module no name that it could be imported by."""
    monkeypatch.setattr(Component, "load", _load)


_REAL_LOAD = Component.load


def _load(component: Component) -> type[Any]:
    return Rich if component.name == "rich" else _REAL_LOAD(component)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, parts in CORE.items() for name in parts])
def test_every_core_component_has_a_schema_with_descriptions_and_valid_defaults(kind: str, name: str) -> None:
    component = Component(kind, name, CORE[kind][name], "manyviews")
    model = parameters(component.load())
    assert summary(component.load())
    schema = model.model_json_schema()
    assert all(one.get("description") for one in schema.get("properties", {}).values()), schema
    assert not schema.get("required")
    defaults = filled(component, {}, kind)
    assert filled(component, defaults, kind) == defaults


def test_types_constraints_defaults_and_descriptions(found: Registry) -> None:
    schema = parameters(found.component("objective", "match", "sonar").load()).model_json_schema()
    assert schema["additionalProperties"] is False
    temperature = schema["properties"]["temperature"]
    assert temperature["exclusiveMinimum"] == 0
    assert temperature["default"] == pytest.approx(0.1)
    assert temperature["description"] == "Of the softmax."
    assert schema["properties"]["kind"]["enum"] == ["cosine", "dot"]


def test_the_spec_is_no_parameter_of_the_recipe(found: Registry) -> None:
    net, pings, match = (
        found.component(*which, "sonar").load() for which in (("encoder", "net"), ("source", "pings"), ("objective", "match"))
    )
    assert [takes_spec(cls) for cls in (net, pings, match)] == [True, True, False]
    assert spec_type(net) is spec_type(pings)
    assert spec_type(net).__name__ == "PingSpec"
    assert "spec" not in parameters(net).model_json_schema()["properties"]
    assert "spec" not in parameters(pings).model_json_schema()["properties"]
    with pytest.raises(PluginError, match="takes no spec"):
        spec_type(match)


def test_building_passes_what_was_given_and_the_spec(found: Registry) -> None:
    pings = build(found.component("source", "sonar/pings"), {"path": "x", "copy": True}, key="data")
    assert (pings.path, pings.rate, pings.copy) == ("x", 8000, True)
    net = build(found.component("encoder", "net", "sonar"), {"width": 8}, key="encoder", spec=pings.spec)
    assert net.spec is pings.spec
    again = build(found.component("source", "pings", "sonar"), {"path": "y"}, key="data", spec=pings.spec)
    assert again.spec is pings.spec


def test_whole_numbers_are_numbers_and_lists_are_tuples(found: Registry) -> None:
    match = build(found.component("objective", "match", "sonar"), {"temperature": 1, "margin": 2}, key="objective")
    assert (match.temperature, match.margin) == (1, 2)
    assert build(found.component("views", "echoes", "sonar"), {"gain": [1, 2]}, key="views").gain == (1.0, 2.0)


def test_nested_values_are_checked_and_built() -> None:
    built = build(rich(), {"parts": [{"low": 3}, {}], "places": [4, 5], "schema": "s"}, key="task")
    assert built.given == ([Nested(low=3), Nested()], (4, 5), "s")
    with pytest.raises(RecipeError, match=r"^task\.parts\.0\.low: 'x' is not allowed; must be a whole number$"):
        build(rich(), {"parts": [{"low": "x"}]}, key="task")
    with pytest.raises(RecipeError, match=r"^task\.parts: missing; it must be given$"):
        build(rich(), {}, key="task")


@pytest.mark.parametrize(
    ("kind", "name", "given", "error", "message"),
    [
        ("encoder", "net", {"width": 10}, RecipeError, "encoder (sonar/net): width 10 is no multiple of heads 4"),
        ("objective", "match", {"kind": "dot"}, None, "objective: margin: `auto` is for kind cosine"),
        ("source", "pings", {"path": "nowhere"}, DataError, "source: nowhere: there are no recordings"),
    ],
)
def test_what_the_constructor_refuses_is_given_the_key(
    found: Registry, kind: str, name: str, given: dict[str, Any], error: type[Exception] | None, message: str
) -> None:
    component = found.component(kind, name, "sonar")
    spec = spec_type(component.load())(rate=1) if kind == "encoder" else None
    with pytest.raises(error or ValueError) as caught:
        build(component, given, key=kind, spec=spec)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (Loose, "parameter `width` must be keyword-only"),
        (Unhinted, "parameter `width` has no type hint"),
        (Hidden, "a type hint of its constructor names `Fraction`; import it outside"),
        (Odd, "a parameter's type cannot stand in a recipe"),
    ],
)
def test_a_constructor_that_is_no_schema_names_the_class(cls: type[Any], message: str) -> None:
    with pytest.raises(PluginError, match=cls.__name__) as caught:
        parameters(cls)
    assert message in str(caught.value)


def test_a_class_without_a_constructor_has_no_parameters() -> None:
    assert not parameters(Plain).model_fields
    assert parameters(Plain) is parameters(Plain)


def test_a_component_that_cannot_be_imported_names_its_distribution(
    found: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = found.component("task", "gone", "sonar")
    with pytest.raises(
        PluginError, match=r"task `sonar/gone` of manyviews-sonar cannot be imported: No module named 'sonar_scratch\.gone'"
    ):
        gone.load()
    for path, message in (("math:nothing", "has no attribute 'nothing'"), ("math:pi", "math:pi is no class but 3.14")):
        with pytest.raises(PluginError, match=message):
            Component("task", "x", path, "d").load()
    names = [component.name for component, _ in found.loaded("task")]
    assert "sonar/depth" in names
    assert "sonar/gone" not in names
    assert capsys.readouterr().err.startswith("manyviews: task `sonar/gone` of manyviews-sonar cannot be imported")
