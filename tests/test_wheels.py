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
        assert not [file for file in files if "tests/" in file]
    assert "manyviews/py.typed" in zipfile.ZipFile(wheels["manyviews"]).namelist()


def test_the_wheels_work_without_the_checkout(wheels: dict[str, Path], tmp_path: Path, table: Path) -> None:
    site = tmp_path / "site"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*command, *map(str, wheels.values())], check=True)
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
