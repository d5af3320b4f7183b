"""The user's way from a table to vectors, by the command line, in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from manyviews.engine.run import Run
from manyviews.track.store import open_client

QUICK = [
    "train.steps=20",
    "train.epochs=null",
    "train.batch_size=32",
    "train.log_every=5",
    "encoder.width=16",
    "encoder.depth=1",
]


def manyviews(*words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command in a folder; its output as text."""
    command = [sys.executable, "-c", "from manyviews.cli.main import main; main()", *words]
    return subprocess.run(command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=240)


def done(result: subprocess.CompletedProcess[str]) -> str:
    assert result.returncode == 0, result.stderr
    return result.stdout


def run_folder(folder: Path) -> Path:
    (found,) = (folder / "runs").iterdir()
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")  # MLflow's, at its own import
def test_pretrain_evaluate_embed_and_look(table: Path, tmp_path: Path) -> None:
    done(manyviews("pretrain", "tabular/masked_values", f"data.path={table}", "data.target=label", *QUICK, folder=tmp_path))
    run = run_folder(tmp_path)
    assert run.name.startswith("tabular-masked_values-")
    text = done(manyviews("evaluate", str(run), folder=tmp_path))
    for row in ("raw input", "untrained encoder", "pretrained encoder", "accuracy"):
        assert row in text
    new = pd.read_csv(table).drop(columns="label").head(7)
    new.to_csv(tmp_path / "new.csv", index=False)
    done(manyviews("embed", str(run), "new.csv", "-o", "vectors.parquet", folder=tmp_path))
    vectors = np.stack(pd.read_parquet(tmp_path / "vectors.parquet")["embedding"].to_list())
    assert vectors.shape == (7, 32)
    assert "FINISHED" in done(manyviews("runs", "list", folder=tmp_path))

    client = open_client(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("tabular")
    assert experiment is not None
    (stored,) = client.search_runs([experiment.experiment_id])
    assert stored.info.status == "FINISHED"
    steps = [metric.step for metric in client.get_metric_history(stored.info.run_id, "train/loss")]
    assert steps == [5, 10, 15, 20]
    assert stored.data.params["encoder.name"] == "transformer"
    assert {"manyviews.data", "manyviews.version", "manyviews.plugin.manyviews-tabular"} <= set(stored.data.tags)
    assert "result/linear_probe/pretrained_encoder/pooled/accuracy" in stored.data.metrics
    names = {item.path for item in client.list_artifacts(stored.info.run_id)}
    assert {"recipe.yaml", "checkpoints"} <= names
    model = loaded_model(client, experiment.experiment_id, tmp_path)
    served = np.asarray(model.predict(new.astype({"found": "datetime64[us]", "kind": "category"})))  # as a frame may hold them
    np.testing.assert_allclose(served, vectors, rtol=1e-5, atol=1e-6)


def loaded_model(client: Any, experiment: str, folder: Path) -> Any:
    """The logged model, by its id, as another program would load it."""
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    (model,) = client.search_logged_models([experiment])
    return mlflow.pyfunc.load_model(f"models:/{model.model_id}")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_run_cleanly_and_the_status_says_so(
    table: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    words = [
        "pretrain",
        "tabular/masked_values",
        f"data.path={table}",
        *QUICK,
        "train.steps=100000",
        "evaluate=[]",
        "track=null",
    ]
    command = [sys.executable, "-c", "from manyviews.cli.main import main; main()", *words]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("runs/*/journal.jsonl")) or not next(tmp_path.glob("runs/*/journal.jsonl")).stat().st_size:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors
    assert "--resume" in errors
    assert "Traceback" not in errors
    assert list(run_folder(tmp_path).glob("checkpoints/step-*/manifest.json"))
    assert "KILLED" in done(manyviews("runs", "list", folder=tmp_path))


@pytest.mark.slow
def test_two_processes_train_one_run(table: Path, tmp_path: Path) -> None:
    """The encoder's mask vectors get no gradient from SCARF, which data parallelism has to be told."""
    command = Path(sys.executable).with_name("manyviews")  # a file: the second process starts the same program
    words = ["pretrain", "tabular/scarf", f"data.path={table}", "train.steps=4", "train.batch_size=32", "train.log_every=2"]
    words += ["train.devices=2", "train.device=cpu", "evaluate=[]", "track=null"]
    result = subprocess.run([command, *words], cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert result.returncode == 0, result.stderr
    run = run_folder(tmp_path)
    assert result.stdout.splitlines() == [str(run.relative_to(tmp_path))]
    assert [path.name for path in run.glob("checkpoints/*")] == ["step-00000004"]
    steps = [entry.step for entry in Run.open(run).metrics() if "train/loss" in entry.metrics]
    assert steps == [2, 4]


def test_track_null_needs_no_mlflow(table: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    (blocked / "mlflow").mkdir(parents=True)
    (blocked / "mlflow" / "__init__.py").write_text("raise ImportError('not here')")
    words = ["pretrain", "tabular/masked_values", f"data.path={table}", *QUICK, "train.steps=2", "evaluate=[]", "track=null"]
    done(manyviews(*words, folder=tmp_path, PYTHONPATH=str(blocked)))
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["data.path=gone.csv"], "gone.csv: there is no such file"),
        (["data.path=table.csv", "encoder.widht=8"], "encoder.widht: unknown key. Did you mean `width`?"),
        (["data.path=table.csv", "encoder.width=wide"], "encoder.width"),
        (["data.path=table.csv", "encoder.name=transfomer"], "Did you mean `transformer`?"),
        (["data.path=table.csv", "train.batch_size=5000"], "train.batch_size: 5000 is more than the 240 training samples"),
        (["data.path=table.csv", "objective.name=ntxent"], "Views that fit: masked_views"),
        (["data.path=table.csv", "data.target=lable"], "Did you mean 'label'?"),
    ],
)
def test_what_is_wrong_is_said_in_three_lines_and_nothing_is_written(
    words: list[str], message: str, table: Path, tmp_path: Path
) -> None:
    result = manyviews("pretrain", "tabular/masked_values", *words, "track=null", folder=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) <= 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["table.csv"]


def test_a_table_without_labels_trains_and_a_header_alone_embeds_to_nothing(table: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(table).drop(columns="label")
    frame.to_csv(tmp_path / "plain.csv", index=False)
    frame.head(0).to_csv(tmp_path / "header.csv", index=False)
    result = manyviews("pretrain", "tabular/masked_values", "data.path=plain.csv", *QUICK, "track=null", folder=tmp_path)
    done(result)
    assert "no labels: linear_probe" in result.stderr
    run = str(run_folder(tmp_path))
    assert "effective_rank" in done(manyviews("evaluate", run, folder=tmp_path))
    assert "0 vectors of 32 numbers" in done(manyviews("embed", run, "header.csv", "-o", "none.npy", folder=tmp_path))
    (tmp_path / "other.csv").write_text("size,price\n1,2\n")
    refused = manyviews("embed", run, "other.csv", "-o", "no.npy", folder=tmp_path)
    assert refused.returncode == 2
    assert "weight" in refused.stderr
    assert not (tmp_path / "no.npy").exists()


@pytest.mark.slow
def test_after_kill_minus_nine_and_resume_mlflow_holds_every_step_once(table: Path, tmp_path: Path) -> None:
    steps = ["train.steps=400", "train.checkpoint_every=20", "train.log_every=1", "evaluate=[]", "track.log_model=false"]
    words = ["pretrain", "tabular/masked_values", f"data.path={table}", *QUICK, *steps]
    command = [sys.executable, "-c", "from manyviews.cli.main import main; main()", *words]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while len(list(tmp_path.glob("runs/*/checkpoints/step-*/manifest.json"))) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
    done(manyviews("pretrain", "--resume", str(run_folder(tmp_path)), folder=tmp_path))
    client = open_client(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (stored,) = client.search_runs([client.get_experiment_by_name("tabular").experiment_id])
    history = client.get_metric_history(stored.info.run_id, "train/loss")
    assert sorted(metric.step for metric in history) == list(range(1, 401))
    assert stored.info.status == "FINISHED"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")  # MLflow's, at its own import
def test_a_folder_with_a_broken_file_trains_on_the_others_and_says_so(table: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    frame = pd.read_csv(table)
    frame.to_csv(folder / "good.csv", index=False)
    frame.astype({"price": object}).replace({"price": {frame["price"][3]: "soon"}}).to_csv(folder / "odd.csv", index=False)
    (folder / "broken.parquet").write_bytes(b"PAR1")
    words = ["pretrain", "tabular/masked_values", "data.path=tables", "evaluate=[]", "track.log_model=false", *QUICK]
    refused = manyviews(*words, folder=tmp_path)
    assert (refused.returncode, len(refused.stderr.strip().splitlines())) == (2, 2), refused.stderr
    result = manyviews(*words, "data.on_error=skip", folder=tmp_path)
    done(result)
    assert "Left out of the data: 2 items that cannot be used" in result.stderr
    run = run_folder(tmp_path)
    assert "odd.csv: row 3: price is 'soon'" in (run / "skipped.txt").read_text()
    client = open_client(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (stored,) = client.search_runs([client.get_experiment_by_name("tabular").experiment_id])
    assert stored.data.tags["manyviews.skipped"] == "2"
    assert "skipped.txt" in {item.path for item in client.list_artifacts(stored.info.run_id)}
