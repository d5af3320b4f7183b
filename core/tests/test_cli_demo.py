"""`manyviews demo DOMAIN`: any domain's, by its description; what is not there is said in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from manyviews import demo as demos
from manyviews.cli.main import run
from manyviews.domain import Domain
from manyviews.plugins import registry as found
from manyviews.plugins.installed import installed_plugins
from manyviews.plugins.registry import registry


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    return run(["demo", *words]), *capsys.readouterr()


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    status, out, err = told(capsys, *words)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) <= 3
    return err


@pytest.mark.usefixtures("toy_domain")
def test_a_domains_demo_goes_the_whole_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, _ = told(capsys, "toy", "--folder", "here")
    assert status == 0
    assert out.startswith("Series that wander around three centres, drawn from a seed\nRecipe here/toy.yaml\n")
    for words in (
        "Report: here/runs/toy-",
        "Pretrained in",
        "raw input",
        "untrained encoder",
        "pretrained encoder",
        "Run folder: here/runs/toy-",
    ):
        assert words in out
    (folder,) = (tmp_path / "here" / "runs").iterdir()
    assert json.loads((folder / "results.json").read_text())


@pytest.mark.usefixtures("toy_domain")
def test_a_domain_that_is_not_there_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(found, "installed_plugins", lambda: [one for one in installed_plugins() if one.name == "toy"])
    registry.cache_clear()
    assert "demo: there is no domain `toi`. Did you mean `toy`?" in refusal(capsys, "toi")
    assert "demo: domain `medical` is not installed; pip install manyviews-medical" in refusal(capsys, "medical")
    assert not (tmp_path / "demo").exists()


@pytest.mark.usefixtures("sonar")
def test_a_domain_without_a_demo(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = refusal(capsys, "sonar", "--folder", str(tmp_path / "x"))
    assert said == "Error: demo: domain `sonar` has none\n  Domains with a demo: none of those that are installed\n"
    assert "no installed domain has one; pip install manyviews-tabular" in refusal(capsys)


@pytest.mark.usefixtures("toy_domain")
def test_a_demo_that_cannot_be_imported(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Domain("toy", "Toy.", "~=0.1", demo="manyviews.testing.nothing_here:demo")
    monkeypatch.setattr(type(registry()), "domain", lambda *_, **__: broken)
    said = refusal(capsys, "toy", "--folder", str(tmp_path / "x"))
    assert said.startswith("Error: demo: that of domain `toy` cannot be imported: No module named")


@pytest.mark.parametrize(("demonstrable", "first"), [(("graphs", "tabular"), "tabular"), (("graphs", "speech"), "graphs")])
def test_without_a_domain_it_is_that_of_tables(
    demonstrable: tuple[str, ...], first: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Domain(name, ".", "~=0.1", demo="a:b") for name in demonstrable]
    monkeypatch.setattr(type(registry()), "domains", lambda self: [Domain("bare", ".", "~=0.1"), *found])
    assert demos._first_domain() == first
