"""A part that a recipe can name, imported only when it is built."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from manyviews.errors import PluginError


@dataclass(frozen=True)
class Component:
    """A named part: where it stands and who brings it."""

    kind: str
    """One of `manyviews.domain.KINDS`."""
    name: str
    """Full: `tabular/table`; bare for the core's own."""
    path: str
    """`module:attribute`."""
    distribution: str

    def load(self) -> type[Any]:
        """Import it.

        Raises:
            PluginError: The module cannot be imported, or what it holds there is no class.
        """
        module, _, attribute = self.path.partition(":")
        try:
            found = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            fix = f"install `{error.name}`, or reinstall {self.distribution} with its dependencies"
            raise PluginError(f"{self.kind} `{self.name}` of {self.distribution} cannot be imported: {error}; {fix}") from error
        except AttributeError as error:
            raise PluginError(f"{self.kind} `{self.name}` of {self.distribution} cannot be imported: {error}") from error
        except ImportError as error:
            fix = f"reinstall {self.distribution} with its dependencies"
            raise PluginError(f"{self.kind} `{self.name}` of {self.distribution} cannot be imported: {error}; {fix}") from error
        if not isinstance(found, type):
            raise PluginError(f"{self.kind} `{self.name}` of {self.distribution}: {self.path} is no class but {found!r}")
        return found
