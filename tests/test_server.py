"""With real MLflow servers: a run delivered to one that asks for a login, seen in a browser; an encoder behind its port."""

from __future__ import annotations

import base64
import json
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from manyviews.cli.main import run
from manyviews.engine.load import load_trained
from manyviews.engine.pretrain import pretrain
from manyviews.engine.run import Run
from manyviews.errors import UserError
from manyviews.testing.servers import PASSWORD, USER, Server, post, serving, tracking_server
from manyviews.track.run_file import RunFile
from manyviews.track.served import RequestError, Served
from manyviews.track.sync import sync

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("server")]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUICK = {
    "train": {"steps": 6, "batch_size": 16, "log_every": 1, "epochs": None},
    "encoder": {"width": 8, "depth": 1, "heads": 2},
}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all tests: its first start takes half a minute."""
    pytest.importorskip("flask_wtf", reason="MLflow's logins need mlflow[auth]")
    with tracking_server(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("table") / "table.csv"
    kinds = rng.choice(["a", "b", "c"], 120)
    pd.DataFrame({"x": rng.normal(size=120), "y": rng.normal(size=120), "kind": kinds, "label": kinds}).to_csv(
        path, index=False
    )
    return path


@pytest.fixture(scope="session")
def tracked(server: Server, table: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that the server has, with its report and its model."""
    sections = QUICK | {
        "data": {"path": str(table), "target": "label"},
        "track": {"uri": server.uri, "experiment": "looked at"},
    }
    sections["train"] = {**QUICK["train"], "folder": str(tmp_path_factory.mktemp("runs"))}
    made = pretrain("tabular/masked_values", **sections, evaluate=[{"task": "linear_probe", "every": 2}])
    deadline = time.monotonic() + 120
    while True:  # a run does not wait long for a slow server: it may have ended while its last upload goes on
        try:
            sync(made.folder, uri=server.uri)
        except UserError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return made


def test_a_server_that_asks_for_a_login_has_the_whole_run(server: Server, tracked: Run) -> None:
    from mlflow import MlflowClient

    state = RunFile.load(tracked.folder).state
    assert state.uri == server.url, "passwords do not stand in run folders"
    client = MlflowClient(server.uri)
    assert state.run_id is not None
    stored = client.get_run(state.run_id)
    assert stored.info.status == "FINISHED"
    assert [metric.step for metric in client.get_metric_history(state.run_id, "train/loss")] == [1, 2, 3, 4, 5, 6]
    assert {"report.html", "recipe.yaml", "checkpoints"} <= {item.path for item in client.list_artifacts(state.run_id)}


def test_without_the_password_nothing_is_read_and_it_is_said(
    server: Server, tracked: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    with pytest.raises(UserError, match="MLflow cannot use the store"):
        sync(tracked.folder, uri=server.url.replace("http://", f"http://{USER}:wrong@"))


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")
def test_the_run_is_looked_at_in_a_browser(server: Server, tracked: Run, tmp_path: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
    state = RunFile.load(tracked.folder).state
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(
            http_credentials={"username": USER, "password": PASSWORD}, viewport={"width": 1300, "height": 900}
        )
        page = context.new_page()
        page.goto(f"{server.url}/#/experiments/{state.experiment_id}/runs/{state.run_id}/model-metrics", timeout=60_000)
        page.get_by_text("eval/linear_probe").first.wait_for(timeout=60_000)
        page.screenshot(path=tmp_path / "charts.png")
        page.goto(f"{server.url}/#/experiments/{state.experiment_id}/runs/{state.run_id}/artifacts/report.html", timeout=60_000)
        frame = page.frame_locator("iframe").first
        frame.get_by_text("Nearest neighbours").wait_for(timeout=60_000)
        page.screenshot(path=tmp_path / "report.png")
        report = context.new_page()
        for scheme, background in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(20, 22, 26)")):
            report.emulate_media(color_scheme=scheme)
            report.goto(f"file://{tracked.folder / 'report.html'}")
            assert report.evaluate("getComputedStyle(document.body).backgroundColor") == background
            assert report.locator("svg.map circle").count() > 50
            report.screenshot(path=tmp_path / f"{scheme}.png", full_page=True)
            assert report.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "wider than the window"
        browser.close()
    assert all((tmp_path / f"{name}.png").stat().st_size > 20_000 for name in ("charts", "report", "light", "dark"))


def test_an_encoder_answers_over_http_and_refuses_in_sentences(
    server: Server,
    tracked: Run,
    table: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", USER)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    assert run(["runs", "register", str(tracked.folder), "--name", "rows", "--alias", "champion"]) == 0
    assert run(["runs", "register", str(tracked.folder), "--name", "rows"]) == 0
    assert capsys.readouterr().out.split() == ["models:/rows@champion", "models:/rows/1"], "registered once"
    rows = pd.read_csv(table).drop(columns="label").head(3)
    expected = load_trained(tracked.folder).predict(rows)
    with serving("models:/rows@champion", server.uri, tmp_path) as served:

        def ask(body: object) -> tuple[int, str]:
            return post(f"{served.url}/invocations", json.dumps(body).encode(), timeout=300)

        records = rows.to_dict("records")
        status, text = ask({"dataframe_records": records})
        assert status == 200, text
        np.testing.assert_allclose(json.loads(text)["predictions"], expected, rtol=1e-5, atol=1e-6)
        refused = {
            "column 'y' missing": {"dataframe_records": [{"x": 1, "kind": "a"}]},
            "'north'": {"dataframe_records": [{**records[0], "x": "north"}]},
            "10,000 at most": {"dataframe_records": records * 3334},
        }
        for words, body in refused.items():
            status, text = ask(body)
            assert (status, words in text) == (400, True), text[-500:]
            assert "Traceback" not in text
        assert post(f"{served.url}/invocations", b"{nope")[0] == 400
        assert post(f"{served.url}/invocations", b"x", "text/plain")[0] == 415
        before = served.resident()
        with ThreadPoolExecutor(200) as threads:
            answers = list(threads.map(lambda _: ask({"dataframe_records": records}), range(400)))
        assert {status for status, _ in answers} == {200}
        assert len({text for _, text in answers}) == 1, "equal requests have equal answers"
        assert served.resident() < before + 150, "memory grows with the requests that wait"


def test_files_are_read_as_files(tmp_path: Path) -> None:
    """Without a server: what stands behind the port is given bytes, or base64 where a client sends text."""
    soundfile = pytest.importorskip("soundfile")
    rng = np.random.default_rng(0)
    clips = tmp_path / "clips"
    clips.mkdir()
    for number, seconds in enumerate((0.4, 0.5, 0.6, 2.0)):
        soundfile.write(clips / f"{number}.wav", 0.1 * rng.normal(size=int(8000 * seconds)), 8000)
    made = pretrain(
        "speech/audio_mae",
        data={"path": str(clips), "rate": 8000, "chunk": 1.0},
        encoder={"width": 8, "depth": 1, "heads": 2},
        train={"steps": 1, "epochs": None, "batch_size": 4, "folder": str(tmp_path / "runs")},
        evaluate=[],
        track=None,
    )
    trained = load_trained(made.folder)
    served = Served(trained)
    contents = [path.read_bytes() for path in sorted(clips.iterdir())]
    answers = served.predict(pd.DataFrame({"file": contents}))
    np.testing.assert_allclose(answers[1], trained.predict(str(clips / "1.wav"))[0], rtol=1e-5, atol=1e-6)
    pieces = trained.predict(str(clips / "3.wav"))
    assert len(pieces) == 2
    np.testing.assert_allclose(answers[3], pieces.mean(0), rtol=1e-5, atol=1e-6)
    text = [base64.b64encode(content).decode() for content in contents]
    np.testing.assert_array_equal(served.predict(pd.DataFrame({"file": text})), answers)
    for frame, words in (
        (pd.DataFrame({"file": [b"hello"]}), "row 0: cannot be read as sound"),
        (pd.DataFrame({"file": ["???"]}), "row 0: `file` is no base64"),
        (pd.DataFrame({"file": [3]}), "row 0: `file` is int"),
        (pd.DataFrame({"wave": [b""]}), "column `file`"),
    ):
        with pytest.raises(RequestError, match=words):
            served.predict(frame)
    assert served.predict(pd.DataFrame({"file": contents[:1], "name": ["../../a.wav"]})).shape == (1, 8)


def test_a_scan_is_answered_over_http(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trained, registered and served as a user does it, from a store of its own: NIfTI in, an embedding out."""
    nibabel = pytest.importorskip("nibabel")
    from manyviews_medical.phantom import write_phantoms

    scans = write_phantoms(tmp_path / "scans", 4, (20, 20, 18))
    made = pretrain(
        "medical/mae",
        data={"path": str(scans), "crop": 16, "cache": str(tmp_path / "cache")},
        encoder={"width": 24, "depth": 1, "heads": 2},
        train={"steps": 1, "epochs": None, "batch_size": 4, "folder": str(tmp_path / "runs")},
        evaluate=[],
        track={"uri": f"sqlite:///{tmp_path}/mlflow.db", "experiment": "scans"},
    )
    assert run(["runs", "register", str(made.folder), "--alias", "champion"]) == 0, capsys.readouterr().err
    path = tmp_path / "scans" / "case002_image.nii.gz"
    expected = load_trained(made.folder).predict(path)
    uri = RunFile.load(made.folder).state.uri
    assert uri is not None
    with serving("models:/scans-encoder@champion", uri, tmp_path / "served") as served:

        def ask(content: bytes) -> tuple[int, str]:
            rows = {"dataframe_records": [{"file": base64.b64encode(content).decode()}]}
            return post(f"{served.url}/invocations", json.dumps(rows).encode())

        status, text = ask(path.read_bytes())
        assert status == 200, text
        np.testing.assert_allclose(json.loads(text)["predictions"], expected, rtol=1e-4, atol=1e-5)
        nan = nibabel.Nifti1Image(np.full((9, 9, 9), np.nan, np.float32), np.eye(4)).to_bytes()
        status, text = ask(nan)
        assert (status, "row 0: 729 of its voxels hold NaN" in text) == (400, True), text[-500:]


@pytest.mark.parametrize("domain", ["graphs", "speech"])
def test_a_row_of_another_kind_is_answered_over_http(domain: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A recording's bytes, a graph's edges and features: trained, registered and served as a user does it."""
    kept = tmp_path / "data"
    kept.mkdir()
    if domain == "speech":
        soundfile = pytest.importorskip("soundfile")
        for number in range(4):
            noise = 0.1 * np.random.default_rng(number).normal(size=4000)
            soundfile.write(kept / f"{number}.wav", noise, 8000)
        recipe, data, encoder = "speech/audio_mae", {"path": str(kept), "rate": 8000}, {"width": 8, "depth": 1, "heads": 2}
    else:
        pytest.importorskip("torch_geometric")
        from manyviews_graphs.testing import graphs

        recipe, data, encoder = "graphs/graphmae_graphs", graphs(kept)["data"], {"width": 8, "layers": 1}
    made = pretrain(
        recipe,
        data=data,
        encoder=encoder,
        train={"steps": 1, "epochs": None, "batch_size": 4, "folder": str(tmp_path / "runs")},
        evaluate=[],
        track={"uri": f"sqlite:///{tmp_path}/mlflow.db", "experiment": domain},
    )
    assert run(["runs", "register", str(made.folder), "--alias", "champion"]) == 0, capsys.readouterr().err
    if domain == "speech":
        content = (kept / "1.wav").read_bytes()
        row: dict[str, Any] = {"file": base64.b64encode(content).decode()}
        expected = load_trained(made.folder).predict(str(kept / "1.wav"))
        bad, words = {"file": base64.b64encode(b"hello").decode()}, "row 0: cannot be read as sound"
    else:
        trained = load_trained(made.folder)
        example = trained.reading(data["path"]).example()
        assert example is not None
        row = dict(example.iloc[0])
        expected = Served(trained).predict(example.iloc[:1])
        bad, words = {**row, "edge_index": [[0, 99], [1, 2]]}, "DataFrame: edge "
    uri = RunFile.load(made.folder).state.uri
    assert uri is not None
    with serving(f"models:/{domain}-encoder@champion", uri, tmp_path / "served") as served:
        status, text = post(f"{served.url}/invocations", json.dumps({"dataframe_records": [row]}, default=int).encode())
        assert status == 200, text
        np.testing.assert_allclose(json.loads(text)["predictions"], expected, rtol=1e-4, atol=1e-5)
        status, text = post(f"{served.url}/invocations", json.dumps({"dataframe_records": [bad]}, default=int).encode())
        assert (status, words in text) == (400, True), text[-500:]
