"""A tracking server that is dead, that hangs, or that dies in mid-run costs the training no second and the run no metric."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from manyviews.errors import UserError
from manyviews.track import store
from manyviews.track.journal import Journal
from manyviews.track.mlflow_tracker import MLflowTracker
from manyviews.track.record import RunRecord
from manyviews.track.sync import sync, unsynced

RECORD = RunRecord("toys", "r1", "domain: toys\n", {"lr": "0.1"}, {"tag": "x"})


@pytest.fixture
def port() -> int:
    """Where nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "runs" / "r1"
    path.mkdir(parents=True)
    return path


def log(folder: Path, steps: range) -> None:
    with Journal(folder) as journal:
        for step in steps:
            journal.log(step, {"loss": 1 / (step + 1), "lr": step * 1e-3})


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def test_a_dead_server_costs_less_than_a_second_and_is_one_line(folder: Path, port: int) -> None:
    lines: list[str] = []
    tracker = MLflowTracker(folder, uri=f"http://user:secret@127.0.0.1:{port}", every=0.05, say=lines.append)
    assert seconds(lambda: tracker.start(RECORD)) < 1
    assert lines == [
        f"MLflow at http://127.0.0.1:{port}: no answer. The run goes on, its metrics are kept; "
        f"if it does not come back: manyviews runs sync {folder}"
    ]
    log(folder, range(10))
    (folder / "picture").write_text("x")
    tracker.artifact(folder / "picture", "pictures")
    time.sleep(0.5)  # several more rounds against the closed port
    assert tracker.run_id is None
    assert str(folder) in tracker.where_to_look()
    assert seconds(lambda: tracker.finish("FINISHED")) < 2
    assert lines[1:] == [
        f"not in MLflow yet: 20 metric values, 1 artifacts, 1 final status. Deliver with: manyviews runs sync {folder}"
    ]
    assert "secret" not in (folder / "run.json").read_text()
    assert unsynced(folder.parent) == [folder]
    with pytest.raises(UserError, match=r"does not answer.\nStart the server and try again"):
        sync(folder)


def test_a_dead_server_needs_no_import_of_mlflow(folder: Path, port: int) -> None:
    script = f"""
import sys
from pathlib import Path
from manyviews.track.mlflow_tracker import MLflowTracker
from manyviews.track.record import RunRecord
tracker = MLflowTracker(Path({str(folder)!r}), uri="http://127.0.0.1:{port}")
tracker.start(RunRecord("toys", "r", "a: 1"))
tracker.finish("FINISHED")
sys.exit("mlflow" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60, capture_output=True).returncode == 0


def test_a_server_that_hangs_costs_a_second(folder: Path) -> None:
    import mlflow  # noqa: F401  # its import is not what is measured

    with socket.create_server(("127.0.0.1", 0)) as silent:
        lines: list[str] = []
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        tracker = MLflowTracker(folder, uri=uri, every=0.05, patience=0.5, say=lines.append)
        assert seconds(lambda: tracker.start(RECORD)) < 2
        log(folder, range(10))
        assert seconds(lambda: tracker.finish("FINISHED")) < 3
    assert lines[0].startswith("not in MLflow yet: 20 metric values")


def test_a_name_that_does_not_resolve_is_a_dead_server() -> None:
    assert not store.answers("http://no-such-host.invalid:5000")


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def wait_and_fail() -> None:
        released.wait(20)
        raise OSError("no such host")

    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: wait_and_fail())
    try:
        assert seconds(lambda: store.answers("http://tracking.example", within=0.1)) < 1
    finally:
        released.set()


def test_a_proxy_is_what_is_knocked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "inside.example")
    assert store._host_and_port("https://tracking.example") == ("127.0.0.1", 9)
    assert store._host_and_port("https://inside.example") == ("inside.example", 443)
    assert store._host_and_port("postgresql+psycopg2://me:pw@db.example/mlflow") == ("db.example", 5432)
    assert store._host_and_port("databricks") is None


@contextmanager
def server(folder: Path, port: int) -> Iterator[str]:
    """A real `mlflow server`, killed at the end."""
    options = ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--artifacts-destination", str(folder / "kept")]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with (folder / "server.log").open("a") as said:
        process = subprocess.Popen([*command, *options], stdout=said, stderr=said, cwd=folder, start_new_session=True)
    try:
        wait(lambda: store.answers(f"http://127.0.0.1:{port}"), 120)
        yield f"http://127.0.0.1:{port}"
    finally:
        subprocess.run(["kill", "-9", "--", f"-{process.pid}"], check=True)
        process.wait(10)


def wait(true: Callable[[], bool], timeout: float) -> None:
    end = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.2)


@pytest.mark.slow
def test_a_server_that_is_down_at_the_start_and_at_the_end_gets_everything(
    folder: Path, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setattr("manyviews.track.writer._LONGEST_PAUSE", 1.0)
    lines: list[str] = []
    uri = f"http://127.0.0.1:{port}"
    tracker = MLflowTracker(folder, uri=uri, every=0.2, say=lines.append)
    assert seconds(lambda: tracker.start(RECORD)) < 2
    log(folder, range(100))
    with server(tmp_path, port):
        wait(lambda: tracker.run_id is not None and "metric" not in tracker._delivery.left(), 120)
        client = MlflowClient(uri)
        assert [one.step for one in client.get_metric_history(tracker.run_id, "loss")] == list(range(100))
    log(folder, range(100, 300))
    assert seconds(lambda: tracker.finish("FINISHED")) < 15
    assert lines[-1].startswith("not in MLflow yet: 400 metric values")
    with server(tmp_path, port):
        sync(folder)
        for name in ("loss", "lr"):
            assert [one.step for one in client.get_metric_history(tracker.run_id, name)] == list(range(300))
        assert client.get_run(tracker.run_id).info.status == "FINISHED"
    assert unsynced(folder.parent) == []


@pytest.mark.slow
def test_a_server_that_dies_in_mid_run_gets_everything_when_it_is_back(
    folder: Path, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setattr("manyviews.track.writer._LONGEST_PAUSE", 1.0)
    lines: list[str] = []
    with server(tmp_path, port) as uri:
        tracker = MLflowTracker(folder, uri=uri, every=0.2, say=lines.append)
        tracker.start(RECORD)
        wait(lambda: tracker.run_id is not None, 60)
        log(folder, range(100))
        wait(lambda: "metric" not in tracker._delivery.left(), 60)
        assert lines == []
    slowest = max(seconds(lambda: log(folder, range(step, step + 100))) for step in range(100, 400, 100))  # noqa: B023
    assert slowest < 1
    (folder / "picture").write_text("x")
    tracker.artifact(folder / "picture", "pictures")
    wait(lambda: len(lines) == 1, 60)
    assert "The run goes on" in lines[0]
    with server(tmp_path, port):
        wait(lambda: len(lines) == 2, 120)
        assert lines[1] == f"MLflow at {uri} is back and has everything so far."
        tracker.finish("FINISHED")
        assert lines[2:] == []
        client = MlflowClient(uri)
        run = client.get_run(tracker.run_id)
        assert run.info.status == "FINISHED"
        for name in ("loss", "lr"):
            assert [one.step for one in client.get_metric_history(tracker.run_id, name)] == list(range(400))
        assert {one.path for one in client.list_artifacts(tracker.run_id)} == {"pictures", "recipe.yaml"}
        assert tracker.where_to_look() == f"{uri}/#/experiments/{run.info.experiment_id}/runs/{tracker.run_id}"
