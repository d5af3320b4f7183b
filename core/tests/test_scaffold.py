"""The package of a new domain: its names, its files, and what `check-plugin` says of it, whole and broken."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from manyviews.cli import check_plugin as command
from manyviews.cli.main import run
from manyviews.errors import UserError
from manyviews.scaffold.new_plugin import YOURS, Names, new_plugin
from manyviews.testing.check import KITS
from manyviews.testing.fixtures import install_fake
from manyviews.testing.kit import Kit


def installed(folder: Path, name: str = "sonar") -> Path:
    """A new domain's package in `folder`, and what makes it a plugin; its folder of modules."""
    package = new_plugin(name, folder) / "src" / Names(name).package
    install_fake(folder / "site", Names(name).distribution, name, f"{Names(name).package}.plugin")
    return package


def manyviews(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command of a process that has the package of `installed`."""
    path = os.pathsep.join([str(folder / "site"), *map(str, folder.glob("*/src"))])
    command = [sys.executable, "-c", "from manyviews.cli.main import main; main()", *words]
    return subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Side-Scan", "use lower-case letters, digits and _, as in `side_scan`. Try `side_scan`."),
        ("manyviews-sonar", "Try `sonar`."),
        ("2d", "is no name for a domain"),
        ("class", "a word of Python's own"),
        ("statistics", "a word of Python's own"),
        ("medical", "there is a domain `medical` already"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        new_plugin(name, tmp_path)
    assert message in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["new-plugin", "sonar", "--folder", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert [line.rpartition("/")[2] for line in told.splitlines()[-3:]] == list(YOURS)
    assert run(["new-plugin", "sonar", "--folder", str(tmp_path)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert run(["new-plugin", "radar", "--folder", str(tmp_path / "gone")]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_every_file_has_the_new_names(tmp_path: Path) -> None:
    folder = new_plugin("side_scan", tmp_path)
    assert folder.name == "manyviews-side-scan"
    for file in folder.rglob("*"):
        assert "package" not in file.parts
        assert file.is_dir() or "$" not in file.read_text(), file
    code = "\n".join(path.read_text() for path in folder.rglob("*.py"))
    names = {node.name for node in ast.walk(ast.parse(code.replace("from __future__ import annotations", "")))
             if isinstance(node, ast.ClassDef)}  # fmt: skip
    assert {"SideScanSource", "SideScanTransformer", "SideScanBatch"} <= names
    assert (folder / "tests" / "test_side_scan_conformance.py").is_file()


def test_what_is_written_is_tidy(tmp_path: Path) -> None:
    """Formatted and clean by this project's rules (but those of its tools' own comments)."""
    folder, ruff = new_plugin("sonar", tmp_path), [sys.executable, "-m", "ruff"]
    subprocess.run([*ruff, "format", "--check", "--line-length", "128", str(folder)], check=True)
    rules = "A,B,C4,E,F,I,N,PERF,PIE,PT,RET,SIM,UP,W"
    settings = ["--isolated", "--line-length", "128", "--target-version", "py311", "--select", rules]
    subprocess.run([*ruff, "check", *settings, "--ignore", "F722,F821,UP037", str(folder)], check=True)


def test_a_new_plugin_is_ok_and_its_recipes_are_found(tmp_path: Path) -> None:
    installed(tmp_path)
    listed = manyviews("plugins", folder=tmp_path)
    row = next(line for line in listed.stdout.splitlines() if line.startswith("sonar "))
    assert row.split()[3] == "ok"
    assert "sonar/contrast, sonar/masked" in manyviews("describe", "sonar", folder=tmp_path).stdout


@pytest.mark.slow
def test_check_plugin_says_what_is_wrong_and_where(tmp_path: Path) -> None:
    package = installed(tmp_path)
    views = package / "views.py"
    views.write_text(views.read_text().replace("torch.randn(values.shape, generator=generator,", "torch.randn(values.shape,"))
    source = package / "source.py"
    source.write_text(source.read_text().replace("        seed: Of the draw.\n", ""))
    contrast = package / "recipes" / "contrast.yaml"
    contrast.write_text(contrast.read_text().replace("{name: noise}", "{name: random_mask}"))
    kits = [f"--only={kit}" for kit in ("plugin", "views", "recipes")]
    done = manyviews("check-plugin", "sonar", "--quick", *kits, folder=tmp_path)
    assert done.returncode == 1, done.stderr
    told = done.stdout
    assert "views: not so: they draw from their generator alone" in told
    assert "torch's global generator was used; draw from `generator`" in told
    assert "src/manyviews_sonar/views.py:" in told
    assert "(Noise.forward)" in told
    assert "no word under `Args:` on seed" in told
    assert "(SonarSource.__init__)" in told
    assert "`ntxent` needs two or more views of each sample; not given by views `random_mask`" in told
    assert "look at manyviews-sonar/src/manyviews_sonar/recipes/contrast.yaml" in told
    assert "begin with the first" in told


def test_check_plugin_refuses_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check-plugin", "nothing_of_this_name"]) == 2
    assert "there is no domain `nothing_of_this_name`" in capsys.readouterr().err
    assert run(["check-plugin", "--only", "encoder"]) == 2
    assert "there is no kit `encoder`; there are plugin, sources, encoders" in capsys.readouterr().err
    package = installed(tmp_path)
    plugin = package / "plugin.py"
    plugin.write_text(plugin.read_text().replace("trial:TRIAL", "trial:TRAIL"))
    done = manyviews("check-plugin", "sonar", folder=tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "Domain.trial is manyviews_sonar.trial:TRAIL, which cannot be imported" in done.stderr


def test_check_plugin_without_pytest_says_what_to_install(tmp_path: Path) -> None:
    installed(tmp_path)
    (tmp_path / "site" / "pytest.py").write_text("raise ModuleNotFoundError('no pytest here', name='pytest')")
    done = manyviews("check-plugin", "sonar", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "Error: check-plugin needs pytest; pip install 'manyviews[testing]'\n"
    code = [sys.executable, "-c", "import manyviews.testing.kits"]
    failed = subprocess.run(code, env=os.environ | {"PYTHONPATH": str(tmp_path / "site")}, capture_output=True, text=True)
    assert "the conformance kit needs pytest: pip install 'manyviews[testing]'" in failed.stderr


def test_the_command_knows_every_kit_and_every_kit_its_tests() -> None:
    assert tuple(KITS) == command.KITS
    for kit in KITS.values():
        assert issubclass(kit, Kit)
        assert set(kit.looks_elsewhere) <= {name for name in vars(kit) if name.startswith("test_")}
