"""What becomes of plugins that pip has installed: real distributions, built by their own backend, in a folder of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from manyviews.scaffold.new_plugin import new_plugin

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("distributions")]


def changed(folder: Path, file: str, old: str, new: str) -> None:
    place = folder / file
    text = place.read_text()
    assert old in text, f"{file} has no {old}"
    place.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six plugins: two good, one broken, one for another core, two of one name."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    good, broken, old, mine = (new_plugin(name, source) for name in ("sonar", "cracked", "ancient", "echo"))
    changed(broken, "src/manyviews_cracked/plugin.py", "from manyviews.domain", "import no_such_library\nfrom manyviews.domain")
    changed(old, "pyproject.toml", 'dependencies = ["manyviews~=0.1.0"]', 'dependencies = ["manyviews>=9,<10"]')
    changed(
        old, "src/manyviews_ancient/plugin.py", "from manyviews.domain", "raise RuntimeError('imported')\nfrom manyviews.domain"
    )
    theirs = new_plugin("echo", tmp_path_factory.mktemp("theirs"))
    changed(theirs, "pyproject.toml", 'name = "manyviews-echo"', 'name = "acme-echo"')
    changed(theirs, "pyproject.toml", "manyviews_echo", "acme_echo")
    (theirs / "src" / "manyviews_echo").rename(theirs / "src" / "acme_echo")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*command, "--target", str(site), *map(str, (good, broken, old, mine, theirs))], check=True)
    return site


def manyviews(site: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from manyviews.cli.main import main; main()", *words]
    return subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(site)} | environment, capture_output=True, text=True, cwd=site.parent
    )


def states(site: Path, **environment: str) -> tuple[dict[str, dict[str, Any]], str]:
    done = manyviews(site, "plugins", "--json", **environment)
    assert done.returncode == 0, done.stderr
    return {record["distribution"]: record for record in json.loads(done.stdout)}, done.stderr


def test_each_has_its_state_and_every_bad_one_costs_one_line(site: Path) -> None:
    found, stderr = states(site)
    told = {name: found[name]["state"] for name in found if name.startswith(("acme", "manyviews-echo"))}
    assert told == {"acme-echo": "conflict", "manyviews-echo": "conflict"}
    assert found["manyviews-sonar"]["state"] == "ok"
    assert found["manyviews-cracked"]["state"] == "broken"
    assert "needs `no_such_library`, which is not installed" in found["manyviews-cracked"]["reason"]
    assert found["manyviews-ancient"]["state"] == "incompatible"
    assert "wants manyviews<10,>=9, installed is" in found["manyviews-ancient"]["reason"]
    assert len(stderr.splitlines()) == 4, stderr
    assert "RuntimeError" not in stderr, "what is incompatible is not imported"


def test_the_others_work_and_the_bad_ones_are_refused_with_the_reason(site: Path) -> None:
    assert manyviews(site, "describe", "sonar/masked").returncode == 0
    assert manyviews(site, "pretrain", "sonar/masked", "data.path=x", "--dry-run").returncode == 0
    for name, reason in (("cracked", "no_such_library"), ("ancient", "wants manyviews<10,>=9"), ("echo", "both claim")):
        done = manyviews(site, "pretrain", f"{name}/masked", "data.path=x")
        assert done.returncode == 2
        (error,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
        assert f"domain `{name}` cannot be used" in error
        assert reason in error


def test_a_selection_disables_and_settles(site: Path) -> None:
    found, stderr = states(site, MANYVIEWS_PLUGINS="sonar,acme-echo")
    assert stderr == ""
    assert {name: found[name]["state"] for name in ("acme-echo", "manyviews-echo", "manyviews-sonar", "manyviews-cracked")} == {
        "acme-echo": "ok",
        "manyviews-echo": "disabled",
        "manyviews-sonar": "ok",
        "manyviews-cracked": "disabled",
    }
