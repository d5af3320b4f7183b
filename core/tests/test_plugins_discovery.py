"""Plugins from generated distributions: each state, and that no plugin can harm another or the program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

GOOD = """
from manyviews.domain import Domain
from manyviews.hookspecs import hookimpl

@hookimpl
def manyviews_domain():
    return Domain(name="{name}", summary="A domain.", core="{core}", components={components})
"""
RETURNS = 'return Domain(name="{name}", summary="A domain.", core="{core}", components={components})'
Install = Callable[..., None]


def bad(returns: str | None = None, *, name: str = "bad", core: str = ">=0", components: Any = None) -> str:
    """A plugin's code with one thing wrong."""
    text = GOOD if returns is None else GOOD.replace(RETURNS, returns)
    return text.format(name=name, core=core, components=components or {})


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """Writes a distribution (dist-info and module) into a folder that the subprocess has on its path."""

    def install(
        name: str,
        code: str | None = None,
        *,
        distribution: str | None = None,
        requires: str = "manyviews>=0.0.1",
        core: str = ">=0.0.1",
        components: Any = None,
    ) -> None:
        distribution = distribution or f"manyviews-{name}"
        module = distribution.replace("-", "_") + "_plugin"
        components = components or {"source": {"files": f"{module}_parts:Files"}}
        text = GOOD.format(name=name, core=core, components=components) if code is None else code
        (tmp_path / f"{module}.py").write_text(f"import pathlib; pathlib.Path(__file__ + '.imported').touch()\n{text}")
        info = tmp_path / f"{distribution.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        header = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\nRequires-Dist: {requires}\n"
        (info / "METADATA").write_text(f"{header}\nA description.\nRequires-Dist: manyviews==99\n")
        (info / "entry_points.txt").write_text(f"[manyviews]\n{name} = {module}\n")

    return install


@pytest.fixture
def plugins(tmp_path: Path) -> Callable[..., tuple[dict[str, dict[str, Any]], str]]:
    """Runs `manyviews plugins --json`: (records by distribution, stderr). Exit status 0 is asserted."""

    def plugins(selection: str = "", code: str = "") -> tuple[dict[str, dict[str, Any]], str]:
        run = "from manyviews.cli.main import run; status = run(['plugins', '--json']); "
        done = subprocess.run(
            [sys.executable, "-c", run + (code or "assert status == 0, status")],
            env={**os.environ, "PYTHONPATH": str(tmp_path), "MANYVIEWS_PLUGINS": selection},
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        return {record["distribution"]: record for record in json.loads(done.stdout)}, done.stderr

    return plugins


def imported(tmp_path: Path) -> set[str]:
    return {path.name.removesuffix("_plugin.py.imported") for path in tmp_path.glob("*.imported")}


def test_a_good_plugin_is_listed_with_its_components_and_says_nothing(install: Install, plugins: Any) -> None:
    install("sonar", components={"source": {"pings": "a.b:C"}, "encoder": {"net": "a.b:D"}})
    found, stderr = plugins()
    assert found["manyviews-sonar"] == {
        "name": "sonar",
        "distribution": "manyviews-sonar",
        "version": "1.2",
        "state": "ok",
        "reason": "",
        "summary": "A domain.",
        "components": ["sonar/net", "sonar/pings"],
    }
    assert "sonar" not in stderr


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise RuntimeError('no\\nlicence')", "RuntimeError: no licence;"),
        ("import sys; sys.exit(3)", "SystemExit: 3;"),
        ("import not_there_at_all", "needs `not_there_at_all`, which is not installed;"),
        ("def broken(:", "SyntaxError:"),
        ("", "it has no manyviews_domain() marked with @hookimpl"),
        (bad("return 3"), "returned 3 "),
        (bad("1 / 0"), "ZeroDivisionError"),
        (bad(name="other"), "its entry point is named `bad` but its Domain `other`"),
        (bad(components={"encodr": {"x": "a:B"}}), "`encodr` is no kind of component. Did you mean `encoder`?"),
        (bad(components={"encoder": {"bad/x": "a:B"}}), "`bad/x` is no name for a component"),
        (bad(components={"encoder": {"x": "a.B"}}), "write `module:attribute`"),
        (bad(core="about 1"), "InvalidRequirement"),
        (bad().replace("_domain", "_domian"), "there is no hook `manyviews_domian`. Did you mean `manyviews_domain`?"),
        (
            bad() + "\n@hookimpl\ndef manyviews_doctor(folder): pass\n",
            "Argument(s) {'folder'} are declared in the hookimpl but can not be found in the hookspec",
        ),
    ],
)
def test_a_broken_plugin_costs_one_line_and_hides_no_other(install: Install, plugins: Any, code: str, reason: str) -> None:
    install("bad", code)
    install("good")
    found, stderr = plugins()
    record = found["manyviews-bad"]
    assert record["state"] == "broken"
    assert reason in record["reason"]
    assert "set MANYVIEWS_PLUGINS=-bad" in record["reason"]
    assert record["components"] == []
    assert found["manyviews-good"]["state"] == "ok"
    lines = [line for line in stderr.splitlines() if "manyviews-bad" in line]
    assert len(lines) == 1
    assert lines[0].startswith("manyviews: plugin manyviews-bad 1.2 is broken: ")
    assert stderr.count("\n") == 1


def test_an_incompatible_plugin_is_not_imported(install: Install, plugins: Any, tmp_path: Path) -> None:
    install("old", "raise RuntimeError('imported')", requires="manyviews<0.0.1")
    found, stderr = plugins()
    assert found["manyviews-old"]["state"] == "incompatible"
    assert "wants manyviews<0.0.1, installed is" in stderr
    assert "pip install --upgrade manyviews-old manyviews" in stderr
    assert imported(tmp_path) == set()


def test_the_domain_too_may_refuse_this_core(install: Install, plugins: Any) -> None:
    install("old", core=">=77", requires="manyviews")
    found, _ = plugins()
    assert found["manyviews-old"]["state"] == "incompatible"
    assert "wants manyviews>=77" in found["manyviews-old"]["reason"]
    assert found["manyviews-old"]["components"] == []


def test_a_requirement_on_another_distribution_is_not_taken_for_one_on_the_core(install: Install, plugins: Any) -> None:
    install("sonar", requires="manyviews-tools==99")
    assert plugins()[0]["manyviews-sonar"]["state"] == "ok"


def test_of_two_claimants_neither_is_imported_and_both_are_named(install: Install, plugins: Any, tmp_path: Path) -> None:
    install("sonar", distribution="alpha-sonar")
    install("sonar", distribution="beta-sonar")
    install("good")
    found, stderr = plugins()
    assert [found[name]["state"] for name in ("alpha-sonar", "beta-sonar", "manyviews-good")] == ["conflict", "conflict", "ok"]
    assert "alpha-sonar and beta-sonar both claim the domain `sonar`; uninstall one of them" in stderr
    assert imported(tmp_path) == {"manyviews_good"}


def test_selecting_a_distribution_settles_a_conflict(install: Install, plugins: Any) -> None:
    install("sonar", distribution="alpha-sonar")
    install("sonar", distribution="beta-sonar")
    for selection in ("alpha-sonar", "-beta-sonar"):
        found, stderr = plugins(selection)
        assert [found[name]["state"] for name in ("alpha-sonar", "beta-sonar")] == ["ok", "disabled"]
        assert stderr == ""


def test_a_disabled_plugin_is_not_imported(install: Install, plugins: Any, tmp_path: Path) -> None:
    install("sonar")
    install("bad", "raise RuntimeError")
    found, stderr = plugins(" sonar ,")
    assert [found[name]["state"] for name in ("manyviews-sonar", "manyviews-bad")] == ["ok", "disabled"]
    assert stderr == ""
    assert imported(tmp_path) == {"manyviews_sonar"}


def test_an_unknown_name_in_the_selection_is_told(install: Install, plugins: Any) -> None:
    install("sonar")
    assert plugins("sonr")[1] == "manyviews: MANYVIEWS_PLUGINS names `sonr`, which is not installed. Did you mean `sonar`?\n"


def test_listing_plugins_imports_neither_torch_nor_pydantic_nor_packaging(install: Install, plugins: Any) -> None:
    install("sonar")
    heavy = ("torch", "pydantic", "numpy", "packaging", "logging")
    plugins(code=f"import sys; assert not set(sys.modules) & set({heavy!r}), set(sys.modules) & set({heavy!r})")


def test_hooks_of_one_plugin_that_raise_do_not_discard_the_others(install: Install, plugins: Any) -> None:
    tags = "\n@hookimpl\ndef manyviews_run_tags(recipe):\n    return {body}\n"
    install("good", bad(name="good") + tags.format(body="{'seen': recipe}"))
    install("bad", bad() + tags.format(body="1 / 0"))
    install("silent")
    code = (
        "from manyviews.plugins.registry import registry; "
        "answers = registry().call('manyviews_run_tags', recipe='r'); "
        "assert [(p.name, a) for p, a in answers] == [('good', {'seen': 'r'})], answers"
    )
    _, stderr = plugins(code=code)
    assert stderr == "manyviews: manyviews-bad: manyviews_run_tags raised ZeroDivisionError: division by zero\n"


def test_the_table_names_what_is_wrong(install: Install, tmp_path: Path) -> None:
    install("bad", "raise RuntimeError('no licence')")
    done = subprocess.run(
        [sys.executable, "-c", "from manyviews.cli.main import main; main()", "plugins"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    row = next(line for line in done.stdout.splitlines() if line.startswith("bad "))
    assert row.split()[:4] == ["bad", "manyviews-bad", "1.2", "broken"]
    assert "RuntimeError: no licence" in row


def test_a_run_is_what_hooks_are_promised() -> None:
    from manyviews import Run, hookspecs

    promised = {name for name in vars(hookspecs.Run) if not name.startswith("_")}
    assert promised == {"folder", "recipe", "checkpoint", "metrics"}
    assert promised <= {*dir(Run), *Run.__dataclass_fields__}
