"""Where MLflow keeps runs: its address, whether it answers, and a client of it. Nothing else here knows about servers.

Facts behind this file (MLflow 3.17): a plain call to a dead server blocks for 247 s, so the port is knocked at first;
two processes that open a fresh sqlite store at once break its migrations, so a lock stands around that.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from filelock import FileLock, Timeout

from manyviews.errors import UserError
from manyviews.track.noise import quiet
from manyviews.track.schemes import complaint

DEFAULT = "sqlite:///mlflow.db"
_SQLITE = "sqlite:///"
_PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mssql": 1433}
_SETTINGS = {
    # Our writer repeats by itself, and knows better when: MLflow's own repeats block for minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # A uv.lock that happens to lie in the working directory is not the model's.
    "MLFLOW_UV_AUTO_DETECT": "false",
}


def address(uri: str | None) -> str:
    """The given store, else $MLFLOW_TRACKING_URI, else `mlflow.db` in the working directory; sqlite paths made absolute.

    Raises:
        UserError: MLflow knows no store of this kind.
    """
    named = "" if uri else "$MLFLOW_TRACKING_URI: "
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT
    if (wrong := complaint(uri)) is not None:
        raise UserError(f"{named}{wrong}")
    path = sqlite_path(uri)
    return uri if path is None else f"{_SQLITE}{path}"


def sqlite_path(uri: str) -> Path | None:
    """The absolute path of a sqlite store's file; None for other stores."""
    path = uri.removeprefix(_SQLITE)
    return Path(path).absolute() if path != uri and path and not path.startswith(":") else None


def is_local(uri: str) -> bool:
    """Whether the store is a file of this machine, which cannot be dead."""
    return urlsplit(uri).scheme in ("sqlite", "file", "")


def without_credentials(uri: str) -> str:
    """The address as it may be shown and stored."""
    parts = urlsplit(uri)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else uri


def with_credentials(uri: str) -> str:
    """A stored address, with the credentials of $MLFLOW_TRACKING_URI where that is the same store."""
    given = os.environ.get("MLFLOW_TRACKING_URI")
    return given if given and without_credentials(given) == uri else uri


def answers(uri: str, within: float = 0.5) -> bool:
    """Whether something listens at a store's host and port; local stores always do.

    A resolver that hangs counts as no answer: the knock waits in a thread of its own.
    """
    where = _host_and_port(uri)
    if where is None:
        return True
    answered = threading.Event()

    def knock() -> None:
        with contextlib.suppress(OSError), socket.create_connection(where, timeout=within):
            answered.set()

    knocking = threading.Thread(target=knock, daemon=True)
    knocking.start()
    knocking.join(2 * within)
    return answered.is_set()


def _host_and_port(uri: str) -> tuple[str, int] | None:
    """What to knock at: the server, or the proxy in front of it; None where there is no such thing."""
    parts = urlsplit(uri)
    scheme = parts.scheme.partition("+")[0]
    if parts.hostname is None or scheme not in _PORTS:
        return None
    proxy = urllib.request.getproxies().get(scheme) if scheme.startswith("http") else None
    if proxy and not urllib.request.proxy_bypass(parts.hostname):
        parts = urlsplit(proxy)
    return parts.hostname or "", parts.port or _PORTS[scheme]


def require_mlflow() -> None:
    """Raises UserError where MLflow is not installed. Imports nothing."""
    if importlib.util.find_spec("mlflow") is None:
        raise UserError(
            "This recipe tracks its run in MLflow, which is not installed.\n"
            'Install it with `pip install "manyviews[mlflow]"`, or run without it: `track=null`.'
        )


@contextlib.contextmanager
def settings() -> Iterator[None]:
    """MLflow as we need it: no hidden repeats, no printed addresses. What the user has set stays.

    The environment belongs to the whole process. It is set in the training thread before training and put back after
    it, never in the writer thread: `setenv` beside a running `getenv` is undefined in C.
    """
    ours = {name: value for name, value in _SETTINGS.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def open_client(uri: str) -> Any:
    """An `MlflowClient` of a store; a sqlite store is created where there is none. Imports MLflow.

    Raises:
        UserError: the store cannot be used as it is.
        ConnectionError: its server does not answer.
    """
    if not answers(uri):
        raise ConnectionError("no answer")
    from mlflow import MlflowClient

    path = sqlite_path(uri)
    if path is None:
        return MlflowClient(uri)
    _check_sqlite(path)
    with _alone(path), quiet():
        return MlflowClient(uri)


_ANOTHER = "Give another store: `track.uri=sqlite:///…`."


def _check_sqlite(path: Path) -> None:
    """What SQLAlchemy, and the lock beside the file, would only find out after minutes of repeats."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file, Path(f"{path}.lock").open("ab"):
            file.seek(0)
            start = file.read(16)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror} ({error.filename}).\n{_ANOTHER}") from error
    if start and start != b"SQLite format 3\0":
        raise UserError(f"{path} is not a sqlite database.\n{_ANOTHER}")


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """No other process opens this store meanwhile: two that open a fresh one break its migrations."""
    try:
        with FileLock(f"{path}.lock", timeout=120):
            yield
    except Timeout as error:
        raise UserError(f"{path} has been held by another process for two minutes.\n{_ANOTHER}") from error
