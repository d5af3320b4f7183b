"""MLflow as a copy of the run folder, in a sqlite store: complete, without doubles, and resumable."""

from __future__ import annotations

import json
import math
import shutil
import socket
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from manyviews.errors import UserError
from manyviews.track import store
from manyviews.track.delivery import Delivery
from manyviews.track.journal import Journal, read
from manyviews.track.mlflow_tracker import MLflowTracker
from manyviews.track.record import RunRecord
from manyviews.track.run_file import RunFile
from manyviews.track.sync import sync, unsynced

RECORD = RunRecord(
    "toys",
    "toys-jepa-1",
    "domain: toys\n",
    {"optim.lr": "0.1", "long": "x" * 7000, "data.path": "my/toys.csv"},
    {"manyviews.data": "ab12"},
)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh store's file. Making one takes MLflow seconds, so it is made once and copied."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    store.open_client(f"sqlite:///{path}")
    return path


@pytest.fixture
def uri(empty_store: Path, tmp_path: Path) -> str:
    return f"sqlite:///{shutil.copy(empty_store, tmp_path / 'mlflow.db')}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "runs" / "toys-jepa-1"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def lines() -> list[str]:
    """What a tracker says to the user."""
    return []


@pytest.fixture
def begun(folder: Path, uri: str, lines: list[str]) -> Iterator[MLflowTracker]:
    """A tracker whose run has begun, and which stops when the test does, whatever became of it."""
    tracker = MLflowTracker(folder, uri=uri, every=0.05, say=lines.append)
    tracker.start(RECORD)
    yield tracker
    tracker._close()


def client(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(uri)


def log(folder: Path, steps: range, **metrics: float) -> None:
    with Journal(folder) as journal:
        for step in steps:
            journal.log(step, metrics or {"loss": 1 / (step + 1), "lr": step * 1e-3})


def stored(uri: str) -> list[tuple[str, int, float]]:
    """Every row of the store's metrics table."""
    database = sqlite3.connect(store.sqlite_path(uri) or "")
    try:
        return sorted(database.execute("select key, step, value from metrics").fetchall())
    finally:
        database.close()


def written(folder: Path) -> list[tuple[str, int, float]]:
    records = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    return sorted((name, record["step"], value) for record in records for name, value in record["metrics"].items())


def test_a_run_is_told_whole(begun: MLflowTracker, folder: Path, uri: str, lines: list[str]) -> None:
    log(folder, range(10))
    picture = folder / "views.png"
    picture.write_bytes(b"png")
    (folder / "checkpoints" / "step-1").mkdir(parents=True)
    (folder / "checkpoints" / "step-1" / "weights").write_bytes(b"w")
    begun.artifact(picture, "pictures")
    begun.artifact(folder / "checkpoints" / "step-1", "checkpoints/step-1")
    run = client(uri).get_run(begun.run_id)
    assert run.info.status == "RUNNING"
    begun.finish("FINISHED")
    run = client(uri).get_run(begun.run_id)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "toys-jepa-1")
    assert run.info.end_time >= run.info.start_time > 1.7e12
    experiment = client(uri).get_experiment(run.info.experiment_id)
    assert (experiment.name, experiment.tags["mlflow.experimentKind"]) == ("toys", "custom_model_development")
    assert [(one.dataset.name, one.dataset.digest) for one in run.inputs.dataset_inputs] == [("toys.csv", "ab12")]
    assert run.data.params["optim.lr"] == "0.1"
    assert run.data.params["long"].endswith("xxx … (cut, 7000 characters)")
    assert run.data.tags["manyviews.data"] == "ab12"
    assert stored(uri) == written(folder)
    root = Path(run.info.artifact_uri.removeprefix("file://"))
    assert root.is_relative_to(folder.parent.parent / "mlartifacts")
    found = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}
    assert found == {"recipe.yaml", "pictures/views.png", "checkpoints/step-1/weights"}
    assert (root / "recipe.yaml").read_text() == "domain: toys\n"
    assert "mlflow ui --backend-store-uri sqlite:///" in begun.where_to_look()
    assert "toys-jepa-1" in begun.where_to_look()
    assert lines == []
    assert unsynced(folder.parent) == []


def test_metrics_arrive_while_the_run_goes_on(begun: MLflowTracker, folder: Path, uri: str) -> None:
    log(folder, range(5))
    assert begun._writer.round(20)
    log(folder, range(5, 9))
    assert begun._writer.round(20)
    assert stored(uri) == written(folder)
    assert len(stored(uri)) == 18


def test_twenty_thousand_metrics_none_lost_none_doubled(begun: MLflowTracker, folder: Path, uri: str) -> None:
    with Journal(folder) as journal:
        for step in range(2000):
            journal.log(step, {f"m{i}": step * 0.1 + i for i in range(10)})
    begun.finish("FINISHED")
    assert len(stored(uri)) == 20_000
    assert stored(uri) == written(folder)


@pytest.mark.slow
def test_twenty_thousand_metrics_a_kill_and_a_resume_none_lost_none_doubled(folder: Path, uri: str) -> None:
    """Killed by -9 while its writer is sending; what went on computes the steps since its last checkpoint again."""
    script = f"""
        import sys, time
        from pathlib import Path
        from manyviews.track.journal import Journal
        from manyviews.track.mlflow_tracker import MLflowTracker
        from manyviews.track.record import RunRecord
        first, stop, folder = int(sys.argv[1]), int(sys.argv[2]), Path({str(folder)!r})
        tracker = MLflowTracker(folder, uri={uri!r}, every=0.05)
        tracker.start(RunRecord("toys", "killed", "a: 1"))
        with Journal(folder) as journal:
            for step in range(first, 2000):
                journal.log(step, {{f"m{{i}}": step * 0.1 + i + first for i in range(10)}})
                while step == stop:
                    time.sleep(1)
        tracker.finish("FINISHED")
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    begun = subprocess.Popen([*command, "0", "1500"])
    deadline = time.monotonic() + 120
    while len(stored(uri)) < 3000 and time.monotonic() < deadline:
        time.sleep(0.01)
    begun.kill()
    begun.wait(20)
    before = len(stored(uri))
    assert 3000 <= before <= 15_010
    subprocess.run([*command, "1000", "-1"], check=True, timeout=240)
    rows = stored(uri)
    assert len(rows) == 20_000
    assert len({row[:2] for row in rows}) == 20_000, "a step of a metric is stored twice"
    assert rows == written(folder)
    assert {value for name, step, value in rows if (name, step) == ("m0", 1200)} == {120.0}, "as it was computed first"


def test_values_that_json_and_sql_do_not_have_and_names_that_mlflow_does_not_take(
    begun: MLflowTracker, folder: Path, uri: str, lines: list[str]
) -> None:
    log(folder, range(1), **{"nan": math.nan, "inf": math.inf, "acc@1": 0.5, "a//b": 1.0, "../up": 2.0, "größe": 3.0})
    begun.finish("FINISHED")
    metrics = client(uri).get_run(begun.run_id).data.metrics
    assert math.isnan(metrics.pop("nan"))
    assert metrics.pop("inf") > 1e308
    assert metrics == {"acc_1": 0.5, "a/b": 1.0, "up": 2.0, "größe": 3.0}
    assert lines == []


def test_a_kill_between_sending_and_noting_it_doubles_nothing(begun: MLflowTracker, folder: Path, uri: str) -> None:
    log(folder, range(50))
    log(folder, range(50, 51), loss=math.nan, lr=math.inf)
    assert begun._writer.round(20)
    before = stored(uri)
    sent = folder / "journal.sent"
    earlier = [entry.end for entry in read(folder)][19]
    sent.write_text(json.dumps({**json.loads(sent.read_text()), "end": earlier}))
    log(folder, range(51, 60))
    begun.finish("FINISHED")
    assert len(before) == 102
    assert [row[:2] for row in stored(uri)] == sorted({(name, step) for name in ("loss", "lr") for step in range(60)})


def test_a_resumed_run_goes_on_in_the_same_run(begun: MLflowTracker, folder: Path, uri: str, lines: list[str]) -> None:
    log(folder, range(10))
    begun.finish("KILLED")
    assert client(uri).get_run(begun.run_id).info.status == "KILLED"
    resumed = MLflowTracker(folder, every=0.05, say=lines.append)  # knows its store from run.json
    changed = RunRecord(
        "toys",
        "toys-jepa-1",
        "domain: toys2\n",
        {"optim.lr": "0.2", "new": "1", "data.path": "toys.csv"},
        {"manyviews.data": "cd34"},
    )
    resumed.start(changed)
    assert resumed.run_id == begun.run_id
    assert client(uri).get_run(begun.run_id).info.status == "RUNNING"
    log(folder, range(5, 15), loss=7.0, lr=7.0)  # 5 to 9 again
    resumed.finish("FINISHED")
    run = client(uri).get_run(begun.run_id)
    assert run.info.status == "FINISHED"
    assert (run.data.params["optim.lr"], run.data.params["new"]) == ("0.1", "1")
    assert run.data.tags["manyviews.changed_params"] == "optim.lr: 0.1 -> 0.2; data.path: my/toys.csv -> toys.csv"
    assert run.data.tags["manyviews.data"] == "cd34"
    assert {one.dataset.digest for one in run.inputs.dataset_inputs} == {"ab12", "cd34"}, "each once"
    assert [row[:2] for row in stored(uri)] == sorted({(name, step) for name in ("loss", "lr") for step in range(15)})
    assert stored(uri) == written(folder)
    assert lines == []


def test_a_run_whose_id_could_not_be_noted_is_found_again(begun: MLflowTracker, folder: Path, uri: str) -> None:
    run_id = begun.run_id
    log(folder, range(3))
    begun.finish("KILLED")
    RunFile.load(folder).change(run_id=None)
    sync(folder)
    assert RunFile.load(folder).state.run_id == run_id
    assert len(client(uri).search_runs(["0", "1"])) == 1
    assert stored(uri) == written(folder)


def test_a_run_that_was_deleted_in_mlflow_is_delivered_anew(begun: MLflowTracker, folder: Path, uri: str) -> None:
    log(folder, range(3))
    begun.finish("FINISHED")
    client(uri).delete_run(begun.run_id)
    sync(folder)
    run = client(uri).get_run(RunFile.load(folder).state.run_id)
    assert run.info.run_id != begun.run_id
    assert (run.info.status, run.data.metrics["loss"], run.data.params["optim.lr"]) == ("FINISHED", 1 / 3, "0.1")


def test_a_checkpoint_removed_before_it_was_stored_is_said_and_holds_up_nothing(
    folder: Path, uri: str, lines: list[str]
) -> None:
    tracker = MLflowTracker(folder, uri=uri, every=60, say=lines.append)
    tracker.start(RECORD)
    (folder / "gone").write_text("x")
    (folder / "kept").write_text("x")
    tracker.artifact(folder / "gone")
    tracker.artifact(folder / "kept")
    (folder / "gone").unlink()
    tracker.finish("FINISHED")
    assert [one.path for one in client(uri).list_artifacts(tracker.run_id)] == ["kept", "recipe.yaml"]
    assert lines == ["toys-jepa-1/gone was removed before it could be stored in MLflow."]


def test_one_bad_artifact_holds_up_neither_the_others_nor_the_status(
    begun: MLflowTracker, folder: Path, uri: str, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    send = MlflowClient.log_artifact

    def refuse(self: Any, run_id: str, local_path: str, artifact_path: str | None = None) -> None:
        if local_path.endswith("bad"):
            raise OSError("413 too large")
        send(self, run_id, local_path, artifact_path)

    monkeypatch.setattr(MlflowClient, "log_artifact", refuse)
    for name in ("bad", "good"):
        (folder / name).write_text("x")
        begun.artifact(folder / name)
    begun.finish("FINISHED")
    assert client(uri).get_run(begun.run_id).info.status == "FINISHED"
    assert [one.path for one in client(uri).list_artifacts(begun.run_id)] == ["good", "recipe.yaml"]
    assert "413 too large. The run goes on" in lines[0]
    assert lines[-1] == f"not in MLflow yet: 1 artifacts. Deliver with: manyviews runs sync {folder}"
    monkeypatch.setattr(MlflowClient, "log_artifact", send)
    sync(folder)
    assert [one.path for one in client(uri).list_artifacts(begun.run_id)] == ["bad", "good", "recipe.yaml"]


@pytest.mark.slow
def test_a_killed_process_leaves_a_folder_that_sync_ends(folder: Path, uri: str) -> None:
    script = f"""
        import os
        from pathlib import Path
        from manyviews.track.journal import Journal
        from manyviews.track.mlflow_tracker import MLflowTracker
        from manyviews.track.record import RunRecord
        folder = Path({str(folder)!r})
        tracker = MLflowTracker(folder, uri={uri!r}, every=60)
        tracker.start(RunRecord("toys", "r", "a: 1"))
        journal = Journal(folder)
        for step in range(30):
            journal.log(step, {{"loss": 0.5}})
        os.kill(os.getpid(), 9)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False, timeout=120)
    assert stored(uri) == []
    assert unsynced(folder.parent) == [folder]
    where = sync(folder)
    assert where.startswith("mlflow ui --backend-store-uri sqlite:///")
    run = client(uri).get_run(RunFile.load(folder).state.run_id)
    assert run.info.status == "KILLED"
    assert stored(uri) == written(folder)
    assert len(stored(uri)) == 30
    assert unsynced(folder.parent) == []


def test_what_a_dead_server_missed_is_delivered_to_the_store_that_is_given(folder: Path, uri: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{free.getsockname()[1]}"
    tracker = MLflowTracker(folder, uri=dead, say=lambda line: None)
    tracker.start(RECORD)
    log(folder, range(10))
    (folder / "picture").write_text("x")
    tracker.artifact(folder / "picture", "pictures")
    tracker.finish("FAILED")
    sync(folder, uri=uri)
    state = RunFile.load(folder).state
    run = client(uri).get_run(state.run_id)
    assert (run.info.status, run.data.params["optim.lr"], run.data.tags["manyviews.data"]) == ("FAILED", "0.1", "ab12")
    assert (run.info.start_time, run.info.end_time) == (state.started, state.ended)
    assert stored(uri) == written(folder)
    assert [one.path for one in client(uri).list_artifacts(run.info.run_id)] == ["pictures", "recipe.yaml"]
    assert unsynced(folder.parent) == []
    sync(folder)  # once more is no harm
    assert stored(uri) == written(folder)


def test_a_run_folder_has_one_writer(begun: MLflowTracker, folder: Path, uri: str) -> None:
    with pytest.raises(UserError, match="another process"):
        MLflowTracker(folder, uri=uri).start(RECORD)
    with pytest.raises(UserError, match="another process"):
        sync(folder)


def test_an_experiment_that_was_deleted_is_an_error_at_start(folder: Path, uri: str) -> None:
    client(uri).delete_experiment(client(uri).create_experiment("toys"))
    with pytest.raises(UserError, match=r"`toys` was deleted in MLflow.\n.*track.experiment"):
        MLflowTracker(folder, uri=uri).start(RECORD)


def test_a_store_that_mlflow_cannot_use_is_an_error_at_start(folder: Path, tmp_path: Path, uri: str) -> None:
    (tmp_path / "notes.txt").write_text("not a database, and longer than a header")
    with pytest.raises(UserError, match=r"notes.txt is not a sqlite database"):
        MLflowTracker(folder, uri=f"sqlite:///{tmp_path / 'notes.txt'}").start(RECORD)
    with pytest.raises(UserError, match=r"MLflow cannot use the store .*mlruns.*\n.*track=null"):
        MLflowTracker(folder, uri=str(tmp_path / "mlruns")).start(RECORD)
    tracker = MLflowTracker(folder, uri=uri)  # nothing of the failed ones stands in the way
    tracker.start(RECORD)
    tracker.finish("FINISHED")
    assert client(uri).get_run(tracker.run_id).info.status == "FINISHED"


@pytest.mark.parametrize("taken", ["mlflow.db", "mlflow.db.lock", "."])
def test_a_sqlite_store_that_cannot_be_written_is_an_error_at_once(taken: str, folder: Path, tmp_path: Path) -> None:
    """Of rights to write the root user has all: here a folder, or a file where a folder should be, stands in the way."""
    place = tmp_path / "store"
    if taken == ".":
        place.touch()
    else:
        (place / taken).mkdir(parents=True)
    began = time.monotonic()
    with pytest.raises(UserError, match=r"mlflow\.db cannot be written: .*store.*\nGive another store") as caught:
        MLflowTracker(folder, uri=f"sqlite:///{place / 'mlflow.db'}").start(RECORD)
    assert len(str(caught.value).splitlines()) <= 3
    assert time.monotonic() - began < 30, "the seconds are MLflow's import"


def test_a_kind_of_store_that_mlflow_does_not_know_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"^`foo://` is no kind of store that MLflow knows\.\n  Give sqlite:///FILE"):
        MLflowTracker(folder, uri="foo://bar")
    with pytest.raises(UserError, match="Did you mean `https://`"):
        store.address("htps://server")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "foo://bar")
    with pytest.raises(UserError, match=r"^\$MLFLOW_TRACKING_URI: `foo://` is no kind"):
        MLflowTracker(folder)
    for known in ("mlruns", "postgresql+psycopg2://a@b/c", "databricks://profile", "sqlite:///x.db", "file:///x"):
        assert store.address(known)


def test_settings_last_as_long_as_the_run(folder: Path, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    tracker = MLflowTracker(folder, uri=uri)
    tracker.start(RECORD)
    assert (os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"], os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"]) == ("0", "77")
    tracker.finish("FINISHED")
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"


class Mean:
    """Stands for a trained encoder: embeds each row as its mean, scaled by what the checkpoint says."""

    served_suffixes = ()

    def __init__(self, folder: Path) -> None:
        assert not (folder / "trainer.pt").exists()
        manifest = json.loads((folder / "manifest.json").read_text())
        assert list(manifest["files"]) == ["weights.safetensors"]
        self.scale = float((folder / "weights.safetensors").read_text())

    def predict(self, data: pd.DataFrame) -> np.ndarray:
        return self.scale * data.to_numpy(dtype=np.float32).mean(1, keepdims=True)


@pytest.fixture
def checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("manyviews.engine.load.load_trained", lambda path: Mean(Path(path)))
    path = folder / "checkpoints" / "step-2"
    path.mkdir(parents=True)
    (path / "weights.safetensors").write_text("10")
    (path / "trainer.pt").write_bytes(b"large")
    (path / "manifest.json").write_text(json.dumps({"files": {"weights.safetensors": "", "trainer.pt": ""}}))
    return path


def test_the_encoder_is_stored_as_a_model_that_mlflow_loads(
    begun: MLflowTracker, folder: Path, uri: str, checkpoint: Path, lines: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    import mlflow

    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    begun.model(checkpoint, example=frame, plugins={"pandas": pd.__version__})
    begun.finish("FINISHED")
    assert lines == []
    assert capfd.readouterr() == ("", "")
    run = client(uri).get_run(begun.run_id)
    (output,) = run.outputs.model_outputs
    logged = client(uri).get_logged_model(output.model_id)
    assert (logged.name, str(logged.status), logged.source_run_id) == ("encoder", "READY", begun.run_id)
    assert not (folder / "model").exists()
    mlflow.set_tracking_uri(uri)
    for address in (f"models:/{output.model_id}", f"runs:/{begun.run_id}/encoder"):
        model = mlflow.pyfunc.load_model(address)
        np.testing.assert_allclose(model.predict(frame), [[20.0], [30.0]])
        assert model.metadata.run_id == begun.run_id
        assert model.metadata.get_input_schema().input_names() == ["a", "b"]
    pinned = Path(logged.artifact_location.removeprefix("file://"), "requirements.txt").read_text().splitlines()
    assert pinned[-1] == f"pandas=={pd.__version__}"
    assert [line.partition("==")[0] for line in pinned] == ["mlflow", "manyviews", "torch", "numpy", "pandas"]
    assert not any("+" in line for line in pinned)


def test_a_model_name_that_mlflow_refuses_is_refused_before(begun: MLflowTracker, checkpoint: Path) -> None:
    with pytest.raises(UserError, match="`a/b` cannot be the name"):
        begun.model(checkpoint, name="a/b", plugins={})


def test_what_is_left_is_told_in_numbers(folder: Path, uri: str) -> None:
    file = RunFile.begin(folder, RECORD, uri)
    log(folder, range(4))
    file.change(status="FINISHED", model="encoder")
    assert Delivery(file, uri, print).left() == "8 metric values, 1 model, 1 final status"


@pytest.mark.slow
def test_two_processes_may_open_a_fresh_store_at_once(tmp_path: Path) -> None:
    script = """
        import sys
        from pathlib import Path
        from manyviews.track.journal import Journal
        from manyviews.track.mlflow_tracker import MLflowTracker
        from manyviews.track.record import RunRecord
        folder = Path("runs") / sys.argv[1]
        tracker = MLflowTracker(folder)
        tracker.start(RunRecord("same", sys.argv[1], "a: 1"))
        with Journal(folder) as journal:
            for step in range(2000):
                journal.log(step, {"loss": 0.5})
        tracker.finish("FINISHED")
    """
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script)]
    started = [subprocess.Popen([*command, name], cwd=tmp_path, stderr=subprocess.PIPE, text=True) for name in "ab"]
    said = [process.communicate(timeout=240)[1] for process in started]
    assert said == ["", ""]
    assert [process.returncode for process in started] == [0, 0]
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    assert len(stored(uri)) == 4000
    (experiment,) = [one for one in client(uri).search_experiments() if one.name == "same"]
    assert sorted(run.info.status for run in client(uri).search_runs([experiment.experiment_id])) == ["FINISHED"] * 2
