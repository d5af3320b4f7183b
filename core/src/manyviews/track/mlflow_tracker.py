"""Tracks a run in MLflow: a thread brings what the run folder holds, and nothing that waits for a server is done here."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from manyviews.track import store
from manyviews.track.delivery import Delivery
from manyviews.track.model import check_model_name, requirements, save_model
from manyviews.track.record import FinalStatus, RunRecord
from manyviews.track.run_file import NAME, RunFile, Upload, claim, now
from manyviews.track.runs import where_to_look
from manyviews.track.words import reason, say, unusable
from manyviews.track.writer import Writer


class MLflowTracker:
    """A run in an MLflow store.

    Args:
        folder: The run folder, which also holds the journal.
        uri: Store or server; None: $MLFLOW_TRACKING_URI, what the folder's run was tracked with, `sqlite:///mlflow.db`.
        every: Seconds between two deliveries.
        patience: Seconds that `finish` waits for the last one.
    """

    def __init__(
        self,
        folder: Path,
        *,
        uri: str | None = None,
        every: float = 3.0,
        patience: float = 10.0,
        say: Callable[[str], None] = say,
    ) -> None:
        store.require_mlflow()
        self._folder, self._say = folder, say
        self._uri = store.address(uri or _uri_of(folder))
        self._shown = store.without_credentials(self._uri)
        self._every, self._patience = every, patience
        self._settings = contextlib.ExitStack()
        self._in_trouble = False

    @property
    def run_id(self) -> str | None:
        return self._file.state.run_id

    def start(self, record: RunRecord) -> None:
        """Begin or go on.

        Waits until the run stands in a local store, for a server that does not answer a second at most.

        Raises:
            UserError: a local store cannot be used, or another process is writing this run.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = claim(self._folder)
        try:
            self._file = RunFile.begin(self._folder, record, self._shown)
            self._delivery = Delivery(self._file, self._uri, self._say)
            self._writer = Writer(self._delivery.deliver, self._report, self._every)
            self._settings.enter_context(store.settings())
            self._first_round()
        except BaseException:
            self._settings.close()
            self._lock.release()
            raise

    def _first_round(self) -> None:
        if not store.answers(self._uri):
            self._report(ConnectionError("no answer"))
            self._writer.start()
            return
        import mlflow  # noqa: F401  # seconds, and not the server's: they do not count as waiting for it

        self._writer.start()
        if not store.is_local(self._uri):
            self._writer.round(1.0)
            return
        self._writer.round(None)
        if self._writer.error is not None:
            self._writer.close(None)
            raise unusable(self._shown, self._writer.error) from self._writer.error

    def artifact(self, path: Path, to: str = "") -> None:
        """Queue a file or folder; the writer thread stores it."""
        inside = path.resolve().is_relative_to(self._folder.resolve())
        noted = path.resolve().relative_to(self._folder.resolve()) if inside else path.resolve()
        self._file.add_upload(Upload(path=noted.as_posix(), to=to))

    def model(self, checkpoint: Path, *, name: str = "encoder", example: Any = None, plugins: Mapping[str, str]) -> None:
        """Save the encoder as an MLflow model in the run folder, in seconds; the writer thread stores it."""
        check_model_name(name)
        save_model(checkpoint, self._folder, example=example, pip_requirements=requirements(plugins))
        self._file.change(model=name, model_id=None)

    def finish(self, status: FinalStatus) -> None:
        """Deliver the rest and end the run. What cannot be delivered within `patience` seconds is said and kept."""
        self._file.change(status=status, ended=now())
        self._writer.round(6 * self._patience if store.is_local(self._uri) else self._patience)
        self._close()
        if left := self._delivery.left():
            self._say(f"not in MLflow yet: {left}. Deliver with: manyviews runs sync {self._folder}")

    def where_to_look(self) -> str:
        return where_to_look(self._uri, self._file.state, self._folder)

    def _close(self) -> None:
        self._delivery.halt.set()
        if self._writer.close(timeout=1.0):
            self._lock.release()
        else:  # it still hangs in a call, and may note what was sent: until then the folder is its own
            threading.Thread(target=self._release_later, name="manyviews-track-end", daemon=True).start()
        self._settings.close()

    def _release_later(self) -> None:
        self._writer.join()
        self._lock.release()

    def _report(self, error: Exception | None) -> None:
        """Called by the writer thread. An outage is one line, however long it lasts."""
        if error is not None and not self._in_trouble:
            self._say(
                f"MLflow at {self._shown}: {reason(error)}. The run goes on, its metrics are kept; "
                f"if it does not come back: manyviews runs sync {self._folder}"
            )
        elif error is None and self._in_trouble:
            self._say(f"MLflow at {self._shown} is back and has everything so far.")
        self._in_trouble = error is not None


def _uri_of(folder: Path) -> str | None:
    """Where the folder's run is tracked already, so that a resumed run finds its store from any working directory."""
    if os.environ.get("MLFLOW_TRACKING_URI") or not (folder / NAME).exists():
        return None
    return RunFile.load(folder).state.uri
