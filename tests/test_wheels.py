"""Each package builds into a wheel that works where there is no checkout, with its recipes and its licence."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {"manyviews": ROOT / "core"} | {f"manyviews_{path.name}": path for path in sorted((ROOT / "plugins").iterdir())}

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheels")]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The packages' wheels, by way of their sdists where that is what a user would get."""
    folder = tmp_path_factory.mktemp("wheels")
    for path in PACKAGES.values():
        command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(path)]
        subprocess.run(command, check=True, capture_output=True)
    return {name: next(folder.glob(f"{name}-*.whl")) for name in PACKAGES}


def test_wheels_hold_code_types_licence_and_recipes(wheels: dict[str, Path]) -> None:
    for name, wheel in wheels.items():
        files = zipfile.ZipFile(wheel).namelist()
        assert any(file.endswith("licenses/LICENSE") for file in files)
        domain = name.removeprefix("manyviews_")
        wanted = {f"{name}/recipes/{path.name}" for path in (ROOT / "domain_configs" / domain).glob("*.yaml")}
        assert wanted <= set(files)
        assert not [file for file in files if "tests/" in file and not file.endswith(".tmpl")]
    core = zipfile.ZipFile(wheels["manyviews"]).namelist()
    assert {"manyviews/py.typed", "manyviews/scaffold/template/pyproject.toml.tmpl"} <= set(core)


@pytest.fixture(scope="module")
def site(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheels, installed into a folder."""
    folder = tmp_path_factory.mktemp("site")
    install(folder, *map(str, wheels.values()))
    return folder


def install(folder: Path, *words: str) -> None:
    """pip, without a registry and without dependencies: those are this environment's own."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    subprocess.run([*command, "--upgrade", "--target", str(folder), *words], check=True, env=environment)


def told(site: Path, folder: Path, *words: str) -> str:
    """What a command of the installed wheels prints."""
    program = f"import manyviews; assert manyviews.__file__.startswith({str(site)!r}); "
    command = [sys.executable, "-c", program + "from manyviews.cli.main import main; main()", *words]
    environment = os.environ | {"PYTHONPATH": str(site)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_new_plugin_is_written_installed_checked_and_trained(wheels: dict[str, Path], site: Path, tmp_path: Path) -> None:
    told(site, tmp_path, "new-plugin", "sonar")
    install(site, str(tmp_path / "manyviews-sonar"))
    assert "all hold" in told(site, tmp_path, "check-plugin", "sonar", "--quick")
    draw = "from pathlib import Path; from manyviews_sonar.trial import draw; draw(Path('pings'))"
    subprocess.run([sys.executable, "-c", draw], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(site)}, check=True)
    quick = ["data.path=pings", "train.steps=4", "train.epochs=null", "train.batch_size=16", "track=null"]
    for recipe in ("sonar/masked", "sonar/contrast"):
        run = told(site, tmp_path, "pretrain", recipe, *quick).strip()
        assert (tmp_path / run / "checkpoints" / "step-00000004").is_dir()


def test_the_wheels_work_without_the_checkout(site: Path, tmp_path: Path, table: Path) -> None:
    script = f"""
import manyviews as mv, manyviews_tabular
assert manyviews_tabular.__file__.startswith({str(site)!r}) and mv.__file__.startswith({str(site)!r})
train = {{"steps": 2, "batch_size": 32}}
run = mv.pretrain("tabular/t_jepa", data={{"path": {str(table)!r}}}, train=train, track=None, evaluate=[])
print(mv.load_trained(run.folder).predict({str(table)!r}).shape)
"""
    told = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(site)}, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
    assert "(240, 64)" in told.stdout
