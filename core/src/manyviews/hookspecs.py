"""The hooks that a plugin can implement. Light: a plugin's entry-point module imports `hookimpl` from here and nothing heavy.

None of them is called in a step. An implementation that raises costs one line on stderr; the others still count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from manyviews.domain import Domain
    from manyviews.recipe.model import Recipe
    from manyviews.track.journal import Entry
    from manyviews.track.record import FinalStatus

hookspec = pluggy.HookspecMarker("manyviews")
hookimpl = pluggy.HookimplMarker("manyviews")
"""Marks an implementation: `@hookimpl def manyviews_domain(): …`."""


class Run(Protocol):
    """What a hook can ask of a run. It is handed a `manyviews.Run`; this much of it will stay."""

    @property
    def folder(self) -> Path:
        """Where the run is kept."""
        ...

    @property
    def recipe(self) -> Recipe:
        """The resolved recipe."""
        ...

    @property
    def checkpoint(self) -> Path:
        """The newest checkpoint."""
        ...

    def metrics(self) -> Iterator[Entry]:
        """The readings so far."""
        ...


@hookspec
def manyviews_domain() -> Domain:  # type: ignore[empty-body]
    """The plugin's static description. Its name is that of the entry point. Called once, when plugins are looked up."""


@hookspec
def manyviews_run_tags(recipe: Recipe) -> Mapping[str, str]:  # type: ignore[empty-body]
    """Tags to store with a run of `recipe`, beside manyviews' own. Called for every run of every domain."""


@hookspec
def manyviews_run_started(run: Run) -> None:
    """The run's folder and its tracking run exist; nothing has been trained yet."""


@hookspec
def manyviews_run_finished(run: Run, status: FinalStatus) -> None:
    """The run has ended, FINISHED, FAILED or KILLED; its last checkpoint is written."""


@hookspec
def manyviews_doctor(path: Path) -> Sequence[str] | None:
    """What is wrong with the data at `path`, one finding a line with the file, the reason and the fix.

    None: not this domain's kind of data. Empty: it is, and nothing is wrong. What is worth knowing and no fault, such as how
    files were taken, is a `manyviews.plugins.note.Note`.
    """
