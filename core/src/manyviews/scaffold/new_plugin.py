"""Writes a new domain's package from the template beside this file: it works as it is, and its author changes three files.

The template is a folder of `*.tmpl` files, of which the names and texts hold `$name` and the like (`string.Template`); a folder
`package` and a `name` in a file's name stand for the new package's own.
"""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from manyviews.errors import UserError
from manyviews.plugins.registry import OFFICIAL, registry
from manyviews.plugins.versions import core_version

YOURS = ("source.py", "encoder.py", "trial.py")
"""What the author of a real modality changes, in the order in which the data come by."""
_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_SUFFIX = ".tmpl"


@dataclass(frozen=True)
class Names:
    """What a new domain's things are called."""

    name: str

    @property
    def package(self) -> str:
        return f"manyviews_{self.name}"

    @property
    def distribution(self) -> str:
        return f"manyviews-{self.name.replace('_', '-')}"

    def values(self) -> dict[str, str]:
        """What the template's words stand for."""
        core = ".".join([*core_version().split(".")[:2], "0"])
        camel = "".join(word.capitalize() for word in self.name.split("_"))
        return {
            "name": self.name, "Name": camel, "package": self.package, "distribution": self.distribution, "core": core
        }  # fmt: skip


def new_plugin(name: str, parent: Path = Path()) -> Path:
    """Write the package `manyviews-<name>` into a new folder of that name; returns the folder.

    Args:
        name: Of the domain: lower-case letters, digits and _.
        parent: Where the folder goes.

    Raises:
        UserError: The name cannot be a domain's, or is taken, or the folder is there already.
    """
    names = Names(_checked(name))
    folder = parent / names.distribution
    if folder.exists():
        raise UserError(f"{folder} is there already; choose another name, or another place with --folder")
    if not parent.is_dir():
        raise UserError(f"--folder: there is no folder {parent}")
    values = names.values()
    for place, text in _template(files("manyviews.scaffold").joinpath("template")):
        file = folder / _filled(place, names)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(Template(text).substitute(values), encoding="utf-8")
    return folder


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        plain = re.sub(r"[^a-z0-9]+", "_", name.lower().removeprefix("manyviews-")).strip("_")
        hint = f" Try `{plain}`." if _NAME.fullmatch(plain) else ""
        raise UserError(f"`{name}` is no name for a domain; use lower-case letters, digits and _, as in `side_scan`.{hint}")
    if keyword.iskeyword(name) or name in sys.stdlib_module_names:
        raise UserError(f"`{name}` is a word of Python's own; choose another name")
    if name in OFFICIAL or name in {plugin.name for plugin in registry().plugins}:
        raise UserError(f"there is a domain `{name}` already, of manyviews-{name}; choose another name")
    return name


def _template(folder: Traversable, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Place and text of every file."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        place = (*above, entry.name)
        if entry.is_dir():
            yield from _template(entry, place)
        elif entry.name.endswith(_SUFFIX):
            yield place, entry.read_text(encoding="utf-8")


def _filled(place: tuple[str, ...], names: Names) -> Path:
    *folders, file = place
    called = file.removesuffix(_SUFFIX).replace("_name_", f"_{names.name}_")
    return Path(*(names.package if folder == "package" else folder for folder in folders), called)
