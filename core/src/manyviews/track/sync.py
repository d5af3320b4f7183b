"""`manyviews runs sync`: delivers what a run could not deliver while it went on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from manyviews.errors import UserError
from manyviews.track import store
from manyviews.track.delivery import Delivery
from manyviews.track.run_file import NAME, PARTS, RunFile, claim, now
from manyviews.track.runs import where_to_look
from manyviews.track.words import say, unusable


def sync(folder: Path, *, uri: str | None = None, say: Callable[[str], None] = say) -> str:
    """Bring all that a run folder holds to MLflow; creates the run where it never was. Can be repeated at will.

    A run whose process was killed before it could end itself is stored as KILLED.

    Args:
        folder: The run folder.
        uri: Another store than the one that the run was tracked with; needed for a run with `track: null`.
        say: Where lines for the user go.

    Returns:
        Where to look at the run.

    Raises:
        UserError: not a run folder, no store known, the run is still going on, or the store does not take it.
    """
    store.require_mlflow()
    target = store.address(_target(RunFile.load(folder), uri))
    lock = claim(folder)
    try:
        file = RunFile.load(folder)
        with store.settings():
            _deliver(file, target, say)
    finally:
        lock.release()
    return where_to_look(target, file.state, folder)


def unsynced(runs: Path) -> list[Path]:
    """The tracked runs below a folder, and those that are parts of them, that MLflow does not have the whole of."""
    found = sorted([*runs.glob(f"*/{NAME}"), *runs.glob(f"*/{PARTS}/*/{NAME}")], key=lambda path: len(path.parts))
    return [path.parent for path in found if _is_unsynced(path.parent)]


def _is_unsynced(folder: Path) -> bool:
    file = RunFile.load(folder)
    return file.state.uri is not None and bool(Delivery(file, file.state.uri, say).left())


def _target(file: RunFile, uri: str | None) -> str:
    if uri:
        return uri
    if file.state.uri is None:
        raise UserError(f"{file.folder} was run with `track: null`: no store is known.\nGive one: `--uri sqlite:///mlflow.db`.")
    return store.with_credentials(file.state.uri)


def _deliver(file: RunFile, uri: str, say: Callable[[str], None]) -> None:
    shown = store.without_credentials(uri)
    ended = {"status": "KILLED", "ended": now()} if file.state.status == "RUNNING" else {}
    file.change(uri=shown, **ended)
    try:
        Delivery(file, uri, say).deliver()
    except ConnectionError as error:
        raise UserError(f"MLflow at {shown} does not answer.\nStart the server and try again: nothing is lost.") from error
    except Exception as error:
        raise unusable(shown, error) from error
