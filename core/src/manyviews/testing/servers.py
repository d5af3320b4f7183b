"""Real MLflow servers for tests and benchmarks: a tracking server with logins, and a model behind its HTTP port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

USER, PASSWORD = "admin", "a-password-of-tests"
"""Who may do everything on a tracking server."""


@dataclass(frozen=True)
class Server:
    """A process that listens on loopback."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def resident(self) -> float:
        """Megabytes of memory that its processes hold, in all."""
        total = 0
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = status.read_text().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            if int(fields[3]) == self.process.pid:  # of its session
                total += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
        return total / 1e6

    @property
    def uri(self) -> str:
        """Its address with user and password."""
        return self.url.replace("http://", f"http://{USER}:{PASSWORD}@")


def free_port() -> int:
    """A port of loopback where nothing listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def tracking_server(folder: Path, seconds: float = 240) -> Iterator[Server]:
    """`mlflow server` with sqlite, proxied artifacts and logins; it begins with the user `admin`."""
    port = free_port()
    (folder / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder}/auth.db\nadmin_username = {USER}\n"
        f"admin_password = {PASSWORD}\nauthorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    words = [
        "server",
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "artifacts"),
    ]
    words += ["--app-name", "basic-auth", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    env = {"MLFLOW_FLASK_SERVER_SECRET_KEY": "of this test alone", "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini")}
    with _started(words, folder, port, env, "/health", seconds) as server:
        yield server


@contextmanager
def serving(model: str, uri: str, folder: Path, seconds: float = 240) -> Iterator[Server]:
    """`mlflow models serve` of a model (`models:/NAME@alias`) of a store."""
    port = free_port()
    words = ["models", "serve", "-m", model, "--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    with _started(words, folder, port, {"MLFLOW_TRACKING_URI": uri}, "/ping", seconds) as server:
        yield server


@contextmanager
def _started(
    words: Sequence[str], folder: Path, port: int, env: Mapping[str, str], ready: str, seconds: float
) -> Iterator[Server]:
    """MLflow starts `uvicorn` by its name: a script in front of all others sees to it that it is this Python's."""
    folder.mkdir(parents=True, exist_ok=True)
    shim = folder / "bin" / "uvicorn"
    shim.parent.mkdir(exist_ok=True)
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m uvicorn "$@"\n')
    shim.chmod(0o755)
    path = f"{shim.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    log = folder / f"server-{port}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words],
            env={**os.environ, **env, "PATH": path},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(f"http://127.0.0.1:{port}", process, log)
    try:
        _wait(server, ready, seconds)
        yield server
    finally:
        _end(process)


def _wait(server: Server, path: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(server.url + path, timeout=5):
                return
        except urllib.error.HTTPError:
            return  # it answers
        except OSError:
            pass
        ended = server.process.poll() is not None
        if ended or time.monotonic() > deadline:
            tail = server.log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"the server {'ended' if ended else 'is not ready'}:\n{tail}")
        time.sleep(0.2)


def _end(process: subprocess.Popen[bytes]) -> None:
    """The process and those it started: they are a session of their own."""
    import signal

    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(20)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        else:
            break


def post(url: str, body: bytes, kind: str = "application/json", timeout: float = 60) -> tuple[int, str]:
    """Status and text of a POST, of refusals too."""
    request = urllib.request.Request(url, body, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()
