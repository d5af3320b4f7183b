"""The parts that need no store: no MLflow at all, addresses, tags, names, parameters."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from manyviews.errors import UserError
from manyviews.recipe.model import Track
from manyviews.track import store
from manyviews.track.limits import clean_name, cut, in_hundreds
from manyviews.track.record import RunRecord, flat_params
from manyviews.track.run_file import RunFile, Upload
from manyviews.track.sync import sync, unsynced
from manyviews.track.tags import fingerprint_hash, git_tags, run_tags
from manyviews.track.tracker import NullTracker, open_tracker
from manyviews.track.writer import Writer

RECORD = RunRecord("toys", "r1", "a: 1", {"lr": "0.1"}, {"tag": "x"})


@pytest.fixture
def no_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)


@pytest.mark.usefixtures("no_mlflow")
def test_track_null_needs_no_mlflow(tmp_path: Path) -> None:
    tracker = open_tracker(None, tmp_path / "r1")
    assert isinstance(tracker, NullTracker)
    tracker.start(RECORD)
    tracker.artifact(tmp_path / "picture", "pictures")
    tracker.model(tmp_path, plugins={})
    tracker.finish("FINISHED")
    assert tracker.run_id is None
    assert "journal.jsonl" in tracker.where_to_look()
    state = RunFile.load(tmp_path / "r1").state
    assert (state.status, state.experiment, state.params, state.uri) == ("FINISHED", "toys", {"lr": "0.1"}, None)
    assert unsynced(tmp_path) == []


@pytest.mark.usefixtures("no_mlflow")
def test_tracking_without_mlflow_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r'not installed.\n.*pip install "manyviews\[mlflow\]".*track=null'):
        open_tracker(Track(), tmp_path)
    with pytest.raises(UserError, match=r"not installed"):
        sync(tmp_path)


def test_nothing_here_imports_mlflow_or_torch() -> None:
    """But `served`, which MLflow itself loads behind its port."""
    names = [path.stem for path in Path(store.__file__).parent.glob("*.py") if path.stem not in ("__init__", "served")]
    assert len(names) > 10
    imports = "".join(f"import manyviews.track.{name}\n" for name in names)
    code = f"import sys\n{imports}sys.exit(bool({{'mlflow', 'torch', 'pandas'}} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_sync_of_what_is_no_tracked_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not a run folder: it has no run.json"):
        sync(tmp_path)
    NullTracker(tmp_path).start(RECORD)
    with pytest.raises(UserError, match=r"track: null.*\n.*--uri"):
        sync(tmp_path)


def test_a_damaged_run_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"uri": 3}')
    with pytest.raises(UserError, match=r"run.json cannot be read"):
        RunFile.load(tmp_path)


def test_a_run_file_keeps_what_is_changed_and_is_written_whole(tmp_path: Path) -> None:
    file = RunFile.begin(tmp_path, RECORD, "http://tracking.example")
    for name in ("a", "b", "a"):
        file.add_upload(Upload(path=name, to="there"))
    file.drop_upload(Upload(path="b", to="there"))
    file.change(run_id="1234")
    assert RunFile.load(tmp_path).state == file.state
    assert [one.path for one in file.state.uploads] == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
    again = RunFile.begin(tmp_path, RECORD, None)
    assert (again.state.run_id, again.state.key, again.state.uri) == ("1234", file.state.key, "http://tracking.example")


def test_the_address_is_the_given_one_then_the_environment_then_a_file_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert store.address(None) == f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:pw@tracking.example:8080/base")
    assert store.address(None) == "https://me:pw@tracking.example:8080/base"
    assert store.without_credentials(store.address(None)) == "https://tracking.example:8080/base"
    assert store.with_credentials("https://tracking.example:8080/base") == store.address(None)
    assert store.with_credentials("https://other.example") == "https://other.example"
    assert store.address("sqlite:///sub/a.db") == f"sqlite:///{tmp_path / 'sub' / 'a.db'}"
    assert store.address("sqlite:////abs/a.db") == "sqlite:////abs/a.db"


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("train/loss", "train/loss"),
        ("acc@1", "acc_1"),
        ("a//b/", "a/b"),
        ("../x", "x"),
        ("/x", "x"),
        (".", "_"),
        ("a:b", "a_b"),
    ],
)
def test_names_become_names_that_mlflow_takes(name: str, clean: str) -> None:
    from mlflow.utils.validation import _validate_metric_name

    assert clean_name(name) == clean
    _validate_metric_name(clean)
    assert len(clean_name("x" * 999)) == 250


def test_long_values_are_cut_visibly() -> None:
    assert cut("x" * 10, 10) == "x" * 10
    short = cut("x" * 7001, 6000)
    assert len(short) == 6000
    assert short.endswith("x … (cut, 7001 characters)")
    assert [len(some) for some in in_hundreds(range(250))] == [100, 100, 50]


def test_parameters_are_flat() -> None:
    config = {"optim": {"lr": 0.1, "betas": [0.9, 0.99]}, "evaluate": [{"task": "knn"}, {"task": "spread"}], "seed": None}
    assert flat_params(config) == {
        "optim.lr": "0.1",
        "optim.betas": "[0.9, 0.99]",
        "evaluate.0.task": "knn",
        "evaluate.1.task": "spread",
        "seed": "None",
    }


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def test_tags_say_commit_and_whether_the_tree_is_dirty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_tags(tmp_path) == {}
    git(tmp_path, "init")
    assert git_tags(tmp_path) == {}  # no commit yet
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", "a")
    git(tmp_path, "commit", "-m", "a")
    clean = git_tags(tmp_path)
    assert len(clean["mlflow.source.git.commit"]) == 40
    assert clean["manyviews.git.dirty"] == "false"
    (tmp_path / "untracked").write_text("1")
    assert git_tags(tmp_path) == clean
    (tmp_path / "a").write_text("2")
    assert git_tags(tmp_path)["manyviews.git.dirty"] == "true"


def test_tags_say_versions_and_data(tmp_path: Path) -> None:
    tags = run_tags(plugins={"manyviews-toys": "0.1.0"}, fingerprint={"rows": 3, "files": {"a": 1}}, folder=tmp_path)
    assert tags["manyviews.version"] == version("manyviews")
    assert tags["manyviews.torch"] == version("torch")
    assert tags["manyviews.plugin.manyviews-toys"] == "0.1.0"
    assert tags["manyviews.data"] == fingerprint_hash({"files": {"a": 1}, "rows": 3})
    assert tags["manyviews.data"] != fingerprint_hash({"files": {"a": 2}, "rows": 3})
    assert not any(str(tmp_path) in value for value in tags.values())


def test_the_writer_reports_every_round_and_waits_longer_after_failures() -> None:
    problems: list[Exception | None] = [OSError("down"), OSError("down"), None]
    reported: list[Exception | None] = []

    def deliver() -> None:
        problem = problems.pop(0)
        if problem is not None:
            raise problem

    writer = Writer(deliver, reported.append, every=60)
    writer.start()
    pauses = []
    for _ in range(3):
        assert writer.round(10)
        pauses.append(writer._pause)
    assert writer.close(10)
    assert [str(one) for one in reported] == ["down", "down", "None"]
    assert writer.error is None
    assert pauses == [30.0, 30.0, 60]
