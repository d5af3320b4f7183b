"""How one recipe is laid over another: `extends:`, and overrides over a file.

- Mappings merge key by key; lists and scalars replace.
- A component's parameters belong to that component. Where the upper one names another (`objective.name`, `data.source`,
  an evaluation's `task`), the parameters below are dropped rather than handed to a part that does not know them; an
  evaluation keeps its `every`, `folds` and `set`.
- Where two keys exclude each other, the one given above displaces the one below: `train.steps` and `train.epochs`, a list of
  `terms` and one `views` and `objective`.
- A mapping whose keys are numbers, laid over a list, changes those elements: `evaluate.0.every=10`. The number after the
  last adds one.
"""

from __future__ import annotations

from manyviews.errors import RecipeError
from manyviews.recipe.tree import Node, Path, dotted

CHOICES = {"data": "source", "encoder": "name", "views": "name", "objective": "name", "evaluate": "task", "task": "name"}
"""Where a component stands -> the key that names it."""
KEPT = {"evaluate": ("every", "folds", "set")}
"""What beside a component's parameters stands there."""

DISPLACES: dict[Path, dict[str, tuple[str, ...]]] = {
    ("train",): {"steps": ("epochs",), "epochs": ("steps",)},
    (): {"terms": ("views", "objective")},
}
"""Where -> key -> the keys that it excludes."""


def merge(below: Node, above: Node, path: Path = ()) -> Node:
    """`above` laid over `below`.

    Raises:
        RecipeError: A number names no element of a list.
    """
    if not isinstance(above.value, dict) or not above.value:
        return below if above.value == {} and isinstance(below.value, dict) else above
    if isinstance(below.value, list) and all(key.isdecimal() for key in above.value):
        return _patch(below.value, above.value, below.where, path)
    if not isinstance(below.value, dict):
        return above
    merged = _without_displaced(_without_foreign_parameters(below.value, above.value, path), above.value, path)
    for key, child in above.value.items():
        merged[key] = merge(merged[key], child, (*path, key)) if key in merged else child
    return Node(merged, above.where)


def _patch(elements: list[Node], changes: dict[str, Node], where: str, path: Path) -> Node:
    patched = list(elements)
    for key, change in changes.items():
        here = (*path, int(key))
        if int(key) > len(patched):
            count = f"{dotted(path)} has {len(patched)} elements, numbered from 0"
            raise RecipeError(f"{dotted(here)}: there is no such element; {count}", key=dotted(here), where=change.where)
        if int(key) == len(patched):
            patched.append(change)
        else:
            patched[int(key)] = merge(patched[int(key)], change, here)
    return Node(patched, where)


def _without_foreign_parameters(below: dict[str, Node], above: dict[str, Node], path: Path) -> dict[str, Node]:
    place = next((key for key in reversed(path) if isinstance(key, str)), "")
    choice = CHOICES.get(place)
    if choice is None or choice not in below or choice not in above or below[choice].value == above[choice].value:
        return below
    return {key: child for key, child in below.items() if key in KEPT.get(place, ())}


def _without_displaced(below: dict[str, Node], above: dict[str, Node], path: Path) -> dict[str, Node]:
    rules = DISPLACES.get(path, {})
    displaced = {other for key, others in rules.items() if key in above and above[key].value is not None for other in others}
    return {key: child for key, child in below.items() if key not in displaced}
