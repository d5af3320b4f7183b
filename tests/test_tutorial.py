"""The tutorial's modality is a package like any other: installed by pip, tested by its own tests, pretrained and evaluated."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "docs" / "tutorials" / "timeseries"
YOURS = {"source.py", "encoder.py", "trial.py"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, installed into a folder by pip, without a registry."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*command, "--target", str(folder), str(PACKAGE)], check=True)
    return folder


def done(site: Path, folder: Path, *words: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(site)}
    result = subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.slow
def test_its_own_tests_pass(site: Path, tmp_path: Path) -> None:
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", "--rootdir", str(PACKAGE)]
    assert "failed" not in done(site, tmp_path, *words, "-c", str(PACKAGE / "pyproject.toml"), str(PACKAGE / "tests"))


@pytest.mark.slow
def test_it_forecasts(site: Path, tmp_path: Path) -> None:
    draw = "from pathlib import Path; from manyviews_timeseries.trial import write; write(Path('hours.csv'), 1500, 24, 0)"
    done(site, tmp_path, "-c", draw)
    program = ["-c", "from manyviews.cli.main import main; main()"]
    data = ["data.path=hours.csv", "data.forecast=load", "data.ahead=6", "data.window=48"]
    train = ["train.steps=20", "train.epochs=null", "train.batch_size=16", "train.threads=1", "track=null"]
    run = done(site, tmp_path, *program, "pretrain", "timeseries/masked", *data, *train).strip()
    table = done(site, tmp_path, *program, "evaluate", run, "--task", "linear_probe")
    assert "rmse" in table
    assert "pretrained encoder" in table
    done(site, tmp_path, *program, "show-views", "timeseries/masked", *data, "-o", "views.png")
    assert (tmp_path / "views.png").stat().st_size > 1000


def test_three_files_were_changed(tmp_path: Path) -> None:
    """What `new-plugin` writes, but for those that it says are the author's, and the tests of those."""
    from manyviews.scaffold.new_plugin import new_plugin

    written = new_plugin("timeseries", tmp_path)
    changed = set()
    for file in written.rglob("*"):
        own = PACKAGE / file.relative_to(written)
        if file.suffix == ".py" and "tests" not in file.parts and _code(file) != _code(own):
            changed.add(file.name)
        if file.suffix == ".yaml":
            assert file.read_text() == own.read_text(), f"{own.name} is no longer what new-plugin writes"
    assert changed == YOURS


def _code(file: Path) -> str:
    """Without comments and docstrings, imports in one order."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    tree.body.sort(key=lambda node: ast.dump(node) if isinstance(node, (ast.Import, ast.ImportFrom)) else "~")
    return ast.dump(tree)
