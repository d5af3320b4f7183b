"""A component's constructor is its schema.

Its keyword-only parameters are what a recipe may say, their type hints what is allowed (`Annotated[float, Field(gt=0)]`),
the `Args:` of the class's docstring what they mean. A positional-only parameter is given the spec of the data; so is a
keyword parameter named `spec` (a source's). Neither is the recipe's.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from types import NoneType
from typing import Any, get_args, get_type_hints

from docstring_parser import DocstringStyle, parse
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError

from manyviews.errors import PluginError, RecipeError, UserError, keyed
from manyviews.plugins.component import Component
from manyviews.recipe.errors import known_keys, translate
from manyviews.recipe.tree import from_python, plain

SPEC = "spec"


class Parameters(BaseModel):
    """Base of every component's schema: unknown keys are refused, types are not guessed (a whole number is a number)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=())


_MADE: dict[type[Any], type[Parameters]] = {}


def parameters(cls: type[Any]) -> type[Parameters]:
    """The recipe's parameters of a component as a pydantic model: types, constraints, defaults, descriptions.

    Raises:
        PluginError: The constructor's signature cannot be a schema: no hint, or a parameter that is not keyword-only.
    """
    if cls not in _MADE:
        _MADE[cls] = _schema(cls)
    return _MADE[cls]


def _schema(cls: type[Any]) -> type[Parameters]:
    hints, meanings = _hints(cls), _meanings(cls)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(cls).parameters.values():
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            raise PluginError(f"{_where(cls)}: parameter `{parameter.name}` must be keyword-only; put `*,` before it")
        if parameter.kind is not parameter.KEYWORD_ONLY or parameter.name == SPEC:
            continue
        if parameter.name not in hints:
            raise PluginError(f"{_where(cls)}: parameter `{parameter.name}` has no type hint")
        name = parameter.name
        field = Field(
            ... if parameter.default is parameter.empty else parameter.default, alias=name, description=meanings.get(name)
        )
        fields[f"{name}_"] = (hints[name], field)
    try:
        return create_model(cls.__name__, __base__=Parameters, __doc__=summary(cls), **fields)
    except PydanticUserError as error:
        raise PluginError(
            f"{_where(cls)}: a parameter's type cannot stand in a recipe: {error.message.splitlines()[0]}"
        ) from error


def takes_spec(cls: type[Any]) -> bool:
    """Whether the constructor is given the spec of the data."""
    return _spec_parameter(cls) is not None


def spec_type(cls: type[Any]) -> Any:
    """The type of the spec that the constructor is given.

    Raises:
        PluginError: It is given none.
    """
    parameter = _spec_parameter(cls)
    if parameter is None:
        raise PluginError(f"{_where(cls)} takes no spec")
    hint = _hints(cls)[parameter.name]
    members = [member for member in get_args(hint) if member is not NoneType]
    return members[0] if NoneType in get_args(hint) and len(members) == 1 else hint


def checked(component: Component, given: Mapping[str, Any], key: str) -> Parameters:
    """The given parameters, validated, with the defaults of the others.

    Raises:
        RecipeError: Unknown, missing, of a wrong type or impossible; names the key's path under `key`.
    """
    model = parameters(component.load())
    data = plain(from_python(given, "", (key,) if key else ()))
    try:
        return model.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise translate(error, data, known_keys(model), key) from error


def filled(component: Component, given: Mapping[str, Any], key: str) -> dict[str, Any]:
    """The same as plain values, for a recipe that says everything."""
    values = checked(component, given, key).model_dump(by_alias=True)
    result: dict[str, Any] = plain(from_python(values, "", (key,)))
    return result


def build(component: Component, given: Mapping[str, Any], *, key: str, spec: Any = None) -> Any:
    """Import the component and construct it.

    Args:
        component: What to build.
        given: The recipe's parameters.
        key: Where they stand in the recipe, for messages (`objective`, `terms.0.views`).
        spec: The spec of the data, passed on where the constructor takes one.

    Raises:
        RecipeError: A parameter is refused, by the schema or by the constructor.
        UserError: Whatever the constructor says of its input, with the key.
    """
    model = checked(component, given, key)
    cls = component.load()
    arguments = {name.removesuffix("_"): getattr(model, name) for name in model.model_fields_set}
    positional, keyword = _spec_arguments(cls, spec)
    try:
        with keyed(key):
            return cls(*positional, **arguments, **keyword)
    except UserError:
        raise
    except ValueError as error:
        raise RecipeError(f"{key} ({component.name}): {error}", key=key) from error


def summary(cls: type[Any]) -> str:
    """The first paragraph of its docstring, in one line."""
    return " ".join((inspect.getdoc(cls) or "").split("\n\n")[0].split())


def _spec_arguments(cls: type[Any], spec: Any) -> tuple[list[Any], dict[str, Any]]:
    parameter = _spec_parameter(cls)
    if parameter is None or (spec is None and parameter.default is not parameter.empty):
        return [], {}
    assert spec is not None, f"{_where(cls)} needs the spec of the data"
    return ([spec], {}) if parameter.kind is parameter.POSITIONAL_ONLY else ([], {SPEC: spec})


def _spec_parameter(cls: type[Any]) -> inspect.Parameter | None:
    found = inspect.signature(cls).parameters.values()
    return next((each for each in found if each.kind is each.POSITIONAL_ONLY or each.name == SPEC), None)


def _hints(cls: type[Any]) -> dict[str, Any]:
    try:
        return get_type_hints(cls.__init__, include_extras=True)
    except NameError as error:
        fix = "import it outside `if TYPE_CHECKING:`"
        raise PluginError(f"{_where(cls)}: a type hint of its constructor names `{error.name}`; {fix}") from error


def _meanings(cls: type[Any]) -> dict[str, str]:
    """Parameter -> description, from the docstrings of the class and of the classes it inherits from."""
    found: dict[str, str] = {}
    for owner in reversed(cls.__mro__[:-1]):
        for entry in parse(inspect.cleandoc(owner.__doc__ or ""), DocstringStyle.GOOGLE).params:
            found[entry.arg_name] = " ".join((entry.description or "").split())
    return found


def _where(cls: type[Any]) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"
