"""Where recipes lie: in the folders that the domains' packages bring, or in a file of the user's own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from manyviews.domain import Domain
from manyviews.errors import RecipeError
from manyviews.plugins.registry import registry
from manyviews.plugins.suggest import did_you_mean

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class RecipeFile:
    """A recipe's text, wherever it lies."""

    place: Traversable
    label: str
    """How messages name it."""
    folder: Path | None
    """What paths in its `extends` start from; None inside a package, where recipes are named."""

    def read(self) -> str:
        """The text.

        Raises:
            RecipeError: It is no UTF-8 text.
        """
        try:
            return self.place.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise RecipeError(f"{self.label} is no text in UTF-8: {error.reason} at byte {error.start}") from error


def about(text: str) -> str:
    """What a recipe says of itself: the comment that it begins with, and nothing that is meant for editors."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        lines.append(line.lstrip("#").strip())
    return " ".join(line for line in lines if not line.startswith("yaml-language-server"))


def recipe_names(domain: str | None = None) -> list[str]:
    """`domain/recipe` of all installed recipes (of a domain). Files named `_…`, made to be extended, are not listed."""
    found = registry().domains() if domain is None else [registry().domain(domain)]
    return [f"{known.name}/{name}" for known in found for name in sorted(_inside(known)) if not name.startswith("_")]


def find_recipe(reference: str, beside: Path | None = None) -> RecipeFile:
    """The recipe of this name (`domain/recipe`) or path (`….yaml`, from the folder `beside` or the current one).

    Raises:
        RecipeError: There is none; says which there are.
    """
    if reference.endswith(SUFFIXES):
        return _file(reference, beside or Path())
    domain, _, name = reference.partition("/")
    if not name:
        raise RecipeError(_neither(reference))
    inside = _inside(registry().domain(domain, key=f"recipe {reference}"))
    if name not in inside:
        names = recipe_names(domain)
        there = ", ".join(names) or "none"
        raise RecipeError(f"there is no recipe `{reference}`.{did_you_mean(reference, names)}\n  Recipes of {domain}: {there}")
    return RecipeFile(inside[name], _short(Path(str(inside[name]))), None)


def _file(reference: str, folder: Path) -> RecipeFile:
    path = folder / Path(reference).expanduser()
    if not path.is_file():
        siblings = [entry.name for entry in path.parent.iterdir() if entry.suffix in SUFFIXES] if path.parent.is_dir() else []
        near = did_you_mean(path.name, siblings)
        raise RecipeError(
            f"there is no recipe file {_short(path)}.{near or ' Name a .yaml file, or an installed recipe: domain/recipe'}"
        )
    return RecipeFile(path, _short(path), path.parent)


def _neither(reference: str) -> str:
    if Path(reference).is_file() or Path(f"{reference}.yaml").is_file():
        return f"`{reference}` is no recipe name; a recipe file ends in .yaml, as in {Path(reference).stem}.yaml"
    names = recipe_names()
    near = [name for name in names if name.partition("/")[2] == reference]
    hint = f" Did you mean `{near[0]}`?" if near else did_you_mean(reference, names)
    return f"`{reference}` is neither a recipe name (domain/recipe) nor a .yaml file.{hint}\n  {_listed(names)}"


def _listed(names: list[str]) -> str:
    return (
        f"Installed recipes: {', '.join(names)}"
        if names
        else "No installed domain brings recipes; pip install manyviews-tabular"
    )


def _inside(domain: Domain) -> dict[str, Traversable]:
    """Name -> file of the recipes in a domain's package."""
    if domain.recipes is None:
        return {}
    module, _, folder = domain.recipes.partition(":")
    place = files(module).joinpath(*folder.split("/"))
    if not place.is_dir():
        return {}
    entries = [entry for entry in place.iterdir() if entry.name.endswith(SUFFIXES)]
    return {entry.name.rpartition(".")[0]: entry for entry in entries}


def _short(path: Path) -> str:
    """From the current folder where it lies below it, else whole."""
    whole = os.path.abspath(path)
    relative = os.path.relpath(whole)
    return whole if relative.startswith(os.pardir) else relative
