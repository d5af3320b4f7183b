"""The commands as a user meets them: output, exit status, what is imported."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest
from jsonschema import Draft202012Validator
from pyarrow import parquet

from manyviews.cli.component_text import component_text, kind_of
from manyviews.cli.main import COMMANDS, commands, run
from manyviews.cli.pretrain import tell
from manyviews.engine.pretrain import pretrain
from manyviews.errors import UserError
from manyviews.plugins.component import Component
from manyviews.recipe.load import load_recipe, to_yaml
from manyviews.recipe.model import Recipe
from manyviews.recipe.reader import parse
from manyviews.recipe.tree import plain
from manyviews.testing.toy import ToySource
from manyviews.track.run_file import claim

Manyviews = Callable[..., tuple[int, str, str]]


@pytest.fixture
def manyviews(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manyviews:
    """Runs a command in an empty folder: (exit status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def manyviews(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = run(arguments)
        return status, *capsys.readouterr()

    return manyviews


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom manyviews.cli.main import run\nassert run(['--help']) == 0\n"
        "heavy = {'torch', 'pydantic', 'numpy', 'yaml', 'pluggy'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)
    assert "..." not in done.stdout.partition("Commands:")[2]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_help(name: str, manyviews: Manyviews) -> None:
    status, out, _ = manyviews(name, "--help")
    assert status == 0
    assert out.startswith(f"Usage: manyviews {name}")


def test_a_mistyped_command(manyviews: Manyviews) -> None:
    status, _, err = manyviews("pretran")
    assert status == 2
    assert "Error: there is no command `pretran`. Did you mean `pretrain`?" in err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("doctor", "missing.csv"), "Invalid value for 'PATH': Path 'missing.csv' does not exist."),
        (("pretrain",), "give a RECIPE, or a run to go on with"),
        (("embed", "run"), "Missing argument 'DATA'."),
        (("evaluate", "run", "--max-labelled", "0"), "Invalid value for '--max-labelled'"),
        (("runs", "lst"), "No such command 'lst'."),
        (("plugins", "--jsn"), "No such option"),
    ],
)
def test_a_mistake_on_the_command_line_is_told_in_two_lines(words: tuple[str, ...], told: str, manyviews: Manyviews) -> None:
    status, out, err = manyviews(*words)
    assert (status, out) == (2, "")
    first, second = err.splitlines()
    assert first.startswith(f"Error: {told}")
    assert second.startswith("  `manyviews ")
    assert second.endswith(" --help` says how to use it")


@pytest.mark.parametrize("words", [(), ("runs",)])
def test_without_a_command_there_is_help(words: tuple[str, ...], manyviews: Manyviews) -> None:
    _, out, err = manyviews(*words)
    assert (out or err).startswith(f"Usage: {' '.join(('manyviews', *words))} [OPTIONS] COMMAND")


def test_the_version(manyviews: Manyviews) -> None:
    status, out, _ = manyviews("--version")
    assert status == 0
    assert out.startswith("manyviews 0.")


def failing(error: BaseException) -> click.Command:
    @click.command()
    def command() -> None:
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "status", "told"), [(UserError("a\n  b"), 2, "Error: a\n  b\n"), (KeyboardInterrupt(), 130, "\nInterrupted.\n")]
)
def test_how_a_command_ends(
    error: BaseException, status: int, told: str, manyviews: Manyviews, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(commands), "get_command", lambda *_: failing(error))
    assert manyviews("plugins")[::2] == (status, told)


def test_a_traceback_where_one_is_asked_for_or_the_error_is_a_bug(
    manyviews: Manyviews, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(commands), "get_command", lambda *_: failing(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        manyviews("plugins")
    monkeypatch.setattr(type(commands), "get_command", lambda *_: failing(UserError("x")))
    monkeypatch.setenv("MANYVIEWS_TRACEBACK", "1")
    with pytest.raises(UserError):
        manyviews("plugins")


@pytest.mark.parametrize(("tasks", "step"), [([{"task": "effective_rank"}], "evaluate"), ([], "embed")])
def test_what_to_do_next_is_what_the_run_can(
    tasks: list[dict[str, str]], step: str, toy_recipe: Callable[..., Recipe], capsys: pytest.CaptureFixture[str]
) -> None:
    done = pretrain(toy_recipe(evaluate=tasks, train__steps=1))
    tell(done)
    out, err = capsys.readouterr()
    assert out == f"{done.folder}\n"
    assert f"Next: manyviews {step} {done.folder}" in err


def test_the_command_line_is_a_module_too() -> None:
    done = subprocess.run([sys.executable, "-m", "manyviews", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("manyviews 0.")


@pytest.mark.usefixtures("sonar")
class TestDescribe:
    def test_the_class_by_which_pretext_targets_are_matched(self, manyviews: Manyviews) -> None:
        assert "\npretext target: Mixture\n" in manyviews("describe", "barlow_twins")[1]

    def test_long_lists_are_wrapped(self, manyviews: Manyviews) -> None:
        lines = manyviews("describe")[1].splitlines()
        assert max(map(len, lines)) <= 110
        assert any(line.startswith(" " * 13) for line in lines), "the core's objectives take two lines"

    def test_a_component(self, manyviews: Manyviews) -> None:
        status, out, _ = manyviews("describe", "match")
        assert status == 0
        assert out == (
            "objective sonar/match, of manyviews-sonar (sonar_scratch.parts:Match)\n\n"
            "Pull the views of a sample together.\n\n"
            "Named after nothing in particular.\n\n"
            "needs: two or more views of each sample\n"
            "across processes: each process on its own\n\n"
            "  temperature: number > 0 (default 0.1)\n      Of the softmax.\n"
            "  kind: cosine | dot (default cosine)\n      How to compare.\n"
            "  margin: number >= 0 or auto (default auto)\n      Slack, or `auto`.\n"
        )
        assert "gives: two or more views of each sample\n" in manyviews("describe", "sonar/echoes")[1]
        assert "path: text (required)" in manyviews("describe", "pings")[1]

    def test_what_a_part_offers_is_wrapped(self) -> None:
        toy = Component("encoder", "toy", "manyviews.testing.toy:ToyEncoder", "manyviews")
        lines = component_text(toy).splitlines()
        (offers,) = [number for number, line in enumerate(lines) if line.startswith("offers: ")]
        assert lines[offers + 1].startswith("  "), "the toy offers more than a line holds"
        assert max(map(len, lines)) <= 110

    def test_a_component_as_json_schema(self, manyviews: Manyviews) -> None:
        schema = json.loads(manyviews("describe", "match", "--json")[1])
        assert schema["properties"]["temperature"]["exclusiveMinimum"] == 0

    def test_a_recipe(self, manyviews: Manyviews) -> None:
        _, out, _ = manyviews("describe", "sonar/wide")
        head, _, text = out.partition("\n\n")
        assert head == "recipe sonar/wide"
        values = plain(parse(text, "t"))
        assert values["encoder"] == {"name": "net", "width": 128}
        assert values["data"]["path"] == "???"
        assert json.loads(manyviews("describe", "sonar/wide", "--json")[1]) == values

    def test_a_recipe_says_what_it_is(self, manyviews: Manyviews, tmp_path: Path) -> None:
        path = tmp_path / "mine.yaml"
        path.write_text(
            "# yaml-language-server: $schema=x.json\n# Wide nets (Ann et al. 2020),\n# and deep.\nextends: sonar/wide\n# no\n"
        )
        out = manyviews("describe", str(path))[1]
        assert out.startswith(f"recipe {path}\n\n# Wide nets (Ann et al. 2020), and deep.\n")
        assert "# no" not in out

    def test_a_type_is_told_once(self) -> None:
        assert (
            kind_of({"anyOf": [{"type": "string"}, {"type": "string", "format": "path"}, {"type": "null"}]}, {})
            == "text or null"
        )

    def test_a_domain_and_everything(self, manyviews: Manyviews) -> None:
        _, out, _ = manyviews("describe", "sonar")
        assert out.startswith("domain sonar: Echoes.\n")
        assert "recipes    sonar/plain, sonar/wide" in out
        everything = manyviews("describe")[1]
        assert "ntxent" in everything
        assert out.strip() in everything

    def test_nothing(self, manyviews: Manyviews) -> None:
        status, _, err = manyviews("describe", "ntxnet")
        assert (status, err.splitlines()[0]) == (
            2,
            "Error: there is no component, recipe or domain `ntxnet`. Did you mean `ntxent`?",
        )


@pytest.mark.usefixtures("sonar")
class TestSchema:
    @pytest.fixture
    def complaints(self, manyviews: Manyviews) -> Callable[[str], list[str]]:
        schema = json.loads(manyviews("describe", "--schema")[1])
        Draft202012Validator.check_schema(schema)
        return lambda text: [error.message for error in Draft202012Validator(schema).iter_errors(plain(parse(text, "t")))]

    def test_of_one_domain(self, manyviews: Manyviews) -> None:
        schema = json.loads(manyviews("describe", "sonar", "--schema")[1])
        assert schema["properties"]["domain"]["enum"] == ["sonar"]
        assert Draft202012Validator(schema).is_valid({"extends": "a", "encoder": {"name": "net"}})
        assert not Draft202012Validator(schema).is_valid({"extends": "a", "encoder": {"name": "nett"}})
        assert "Did you mean `sonar`?" in manyviews("describe", "sonr", "--schema")[2]

    def test_recipes_are_valid(self, complaints: Callable[[str], list[str]]) -> None:
        assert complaints("domain: sonar\nextends: sonar/plain\nencoder: {width: 3}\n") == []
        assert complaints(to_yaml(load_recipe("sonar/plain", ["data.path=x"]))) == []

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("domain: sonar", "'data' is a required property"),
            ("{domain: sonar, extends: a, encoder: {name: net, widht: 3}}", "'widht' was unexpected"),
            (
                "{domain: sonar, extends: a, encoder: {name: sonar/net, width: 0}}",
                "0 is less than or equal to the minimum of 0",
            ),
            ("{domain: sonar, extends: a, encoder: {name: match}}", "'match' is not one of"),
            ("{domain: sonar, extends: a, optim: {lr: fast}}", "'fast' is not of type 'number'"),
            ("{domain: sonar, extends: a, evaluate: [{task: depth, every: 5, tires: 3}]}", "'tires' was unexpected"),
            ("{domain: sonr, extends: a}", "'sonr' is not one of"),
        ],
    )
    def test_mistakes_are_found(self, text: str, complaint: str, complaints: Callable[[str], list[str]]) -> None:
        assert any(complaint in message for message in complaints(text)), complaints(text)


@pytest.mark.usefixtures("sonar")
class TestDoctor:
    def test_findings(self, manyviews: Manyviews, tmp_path: Path) -> None:
        (tmp_path / "good.wav").write_text("x")
        (tmp_path / "bad.wav").touch()
        (tmp_path / "picture.png").touch()
        assert manyviews("doctor", "good.wav")[:2] == (0, "sonar: nothing wrong\n")
        assert manyviews("doctor", "bad.wav", "--domain", "sonar")[:2] == (1, "sonar: bad.wav: silent; record it again\n")
        assert manyviews("doctor", "picture.png")[::2] == (
            2,
            "Error: picture.png: none of the domains asked knows this kind of data (sonar)\n",
        )
        assert "does not exist" in manyviews("doctor", "nowhere")[2]
        assert "Did you mean `sonar`?" in manyviews("doctor", "good.wav", "--domain", "sonr")[2]


@pytest.mark.usefixtures("sonar")
def test_the_matrix(manyviews: Manyviews) -> None:
    status, out, _ = manyviews("matrix")
    rows = [line.split() for line in out.partition("\n\n")[0].splitlines()]
    assert status == 0
    assert rows[0] == ["objective", "sonar"]
    assert ["sonar/match", "runs"] in rows
    assert ["masked_reconstruction", "cannot"] in rows
    assert "masked_reconstruction on sonar cannot run: needs an encoder that gives the raw content of each token" in out
    records = json.loads(manyviews("matrix", "--json")[1])
    assert {"objective": "ntxent", "domain": "sonar"}.items() <= {
        k: v for r in records if r["objective"] == "ntxent" for k, v in r.items()
    }.items()


@pytest.mark.usefixtures("sonar")
class TestPretrain:
    @pytest.mark.parametrize("words", [(), ("sonar/plain", "--resume", "x"), ("--resume", "x", "--dry-run")])
    def test_a_recipe_or_a_run(self, words: tuple[str, ...], manyviews: Manyviews) -> None:
        status, _, err = manyviews("pretrain", *words)
        assert status == 2
        assert "give a RECIPE, or a run to go on with" in err

    def test_parts_that_do_not_fit_are_refused_with_the_line(self, manyviews: Manyviews, tmp_path: Path) -> None:
        (tmp_path / "mine.yaml").write_text("extends: sonar/plain\nviews:\n  name: random_mask\nobjective:\n  name: ntxent\n")
        status, out, err = manyviews("pretrain", "mine.yaml", "data.path=x", "evaluate=[]", "--dry-run")
        assert (status, out) == (2, "")
        assert err.splitlines()[0].startswith("Error: objective: `ntxent` needs two or more views of each sample; not given by")
        assert err.splitlines()[2] == "  in mine.yaml:4"

    def test_a_parameter_is_refused_before_data_are_read(self, manyviews: Manyviews) -> None:
        status, _, err = manyviews("pretrain", "sonar/plain", "data.path=nowhere", "objective.temperature=-1")
        assert status == 2
        assert err == "Error: objective.temperature: -1 is not allowed; must be greater than 0\n  in the command line\n"


class TestRuns:
    def test_none(self, manyviews: Manyviews) -> None:
        assert manyviews("runs", "list")[:2] == (0, "No runs in runs.\n")

    def test_a_command_that_is_no_run_folder(self, manyviews: Manyviews, tmp_path: Path) -> None:
        status, _, err = manyviews("runs", "sync", str(tmp_path))
        assert status == 2
        assert "is not a run folder" in err


RECIPE = """\
domain: toy
data: {source: series, samples: 48}
encoder: {name: transformer}
views: {name: random_mask}
objective: {name: masked_reconstruction}
train: {steps: 4, batch_size: 8}
evaluate: [{task: linear_probe}]
track: null
"""


@pytest.mark.usefixtures("toy_domain")
class TestTheWholeWay:
    """On the toy domain: pretrain, list, evaluate, embed."""

    @pytest.fixture
    def trained(self, manyviews: Manyviews, tmp_path: Path) -> str:
        (tmp_path / "mine.yaml").write_text(RECIPE)
        status, out, err = manyviews("pretrain", "mine.yaml", "train.steps=3")
        assert status == 0, err
        return out.strip().splitlines()[-1]

    def test_dry_run_prints_the_resolved_recipe_and_leaves_nothing(self, manyviews: Manyviews, tmp_path: Path) -> None:
        (tmp_path / "mine.yaml").write_text(RECIPE)
        status, out, _ = manyviews("pretrain", "mine.yaml", "--dry-run")
        values = plain(parse(out, "t"))
        assert status == 0
        assert values["objective"]["loss"] == "mse"
        assert values["train"]["steps"] == 4
        assert set(os.listdir(tmp_path)) == {"mine.yaml", "site"}

    def test_the_run_is_listed_judged_and_embeds(self, trained: str, manyviews: Manyviews, tmp_path: Path) -> None:
        assert (tmp_path / trained / "recipe.yaml").is_file()
        records = json.loads(manyviews("runs", "list", "--json")[1])
        assert [(record["status"], record["checkpoint"], record["tracked"]) for record in records] == [("FINISHED", 3, "no")]
        assert "FINISHED" in manyviews("runs", "list")[1]
        status, out, err = manyviews("evaluate", trained, "--csv", "results.csv")
        assert status == 0, err
        for row in ("raw input", "untrained encoder", "pretrained encoder"):
            assert row in out
        assert (tmp_path / trained / "results.json").is_file()
        assert (tmp_path / "results.csv").read_text().startswith("task,")
        assert manyviews("evaluate", trained, "--task", "knn", "--json")[0] == 0
        status, _, err = manyviews("evaluate", trained, "--csv", "no/results.csv")
        assert (status, err) == (2, "Error: --csv: there is no folder no\n")

    def test_a_task_that_is_not_there_is_not_the_recipes_fault(self, trained: str, manyviews: Manyviews) -> None:
        status, out, err = manyviews("evaluate", trained, "--task", "nope")
        assert (status, out) == (2, "")
        assert err.startswith("Error: task: there is no component `nope` of kind task.\n  There are: ")
        assert "recipe.yaml" not in err

    def test_a_run_that_goes_on_is_judged_and_left_alone(self, trained: str, manyviews: Manyviews, tmp_path: Path) -> None:
        lock = claim(tmp_path / trained)
        status, out, err = manyviews("evaluate", trained)
        lock.release()
        assert (status, "pretrained encoder" in out) == (0, True)
        assert "the result is not stored with the run" in err
        assert not (tmp_path / trained / "results.json").exists()

    def test_a_store_that_cannot_be_used_leaves_no_run(self, manyviews: Manyviews, tmp_path: Path) -> None:
        (tmp_path / "mine.yaml").write_text(RECIPE)
        (tmp_path / "no.db").write_text("not a database")
        status, _, err = manyviews("pretrain", "mine.yaml", "track={uri: 'sqlite:///no.db'}")
        assert (status, "is not a sqlite database" in err) == (2, True)
        assert not list(tmp_path.glob("runs/*"))

    def test_a_place_where_no_run_can_be_made(self, manyviews: Manyviews, tmp_path: Path) -> None:
        (tmp_path / "mine.yaml").write_text(RECIPE)
        status, _, err = manyviews("pretrain", "mine.yaml", "train.folder=mine.yaml")
        assert (status, err.startswith("Error: train.folder: mine.yaml/")) == (2, True), err

    def test_a_disk_that_is_full_while_embedding(
        self, trained: str, manyviews: Manyviews, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(ToySource, "reading", classmethod(lambda cls, data, spec: cls(samples=6, spec=spec)))
        with monkeypatch.context() as patch:
            patch.setattr(np, "savez", full)
            status, _, err = manyviews("embed", trained, "six", "-o", "e.npy")
        assert (status, err.splitlines()[0]) == (
            2,
            "Error: --output: e.npy could not be written (No space left on device); nothing was left there.",
        )
        assert not [path.name for path in tmp_path.iterdir() if "e.npy" in path.name]
        with monkeypatch.context() as patch:
            patch.setattr(np.lib.format, "open_memmap", full)
            assert manyviews("embed", trained, "six", "-o", "e.npy")[0] == 2
        assert [path.name for path in tmp_path.iterdir() if "e.npy" in path.name] == [".e.npy.rows"]
        assert manyviews("embed", trained, "six", "-o", "e.npy")[0] == 0
        assert [path.name for path in tmp_path.iterdir() if "e.npy" in path.name] == ["e.npy"]

    def test_embedding_into_a_file(self, trained: str, manyviews: Manyviews, tmp_path: Path) -> None:
        np.save(tmp_path / "series.npy", np.zeros(1))
        for name, message in (
            ("e.txt", "ends in .txt; name a .csv or .npy or .npz or .parquet file"),
            ("no/e.npy", "there is no folder no"),
        ):
            status, _, err = manyviews("embed", trained, "series.npy", "-o", name)
            assert (status, message in err) == (2, True), err

    def test_every_sample_has_its_row(
        self, trained: str, manyviews: Manyviews, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ToySource, "reading", classmethod(lambda cls, data, spec: cls(samples=6, spec=spec)))
        assert manyviews("embed", trained, "six", "-o", "e.npy")[:2] == (0, "e.npy: 6 vectors of 16 numbers\n")
        assert manyviews("embed", trained, "six", "-o", "e.parquet", "--batch-size", "2")[0] == 0
        vectors, table = np.load(tmp_path / "e.npy"), parquet.read_table(tmp_path / "e.parquet")
        assert table["sample"].to_pylist() == [0, 1, 2, 3, 4, 5]
        np.testing.assert_allclose(np.array(table["embedding"].to_pylist()), vectors, atol=1e-5)
        assert not list(tmp_path.glob(".part-*"))

    def test_a_folder_that_is_no_run(self, manyviews: Manyviews, tmp_path: Path) -> None:
        for words in (("evaluate", "."), ("embed", ".", "x", "-o", "e.npy"), ("pretrain", "--resume", ".")):
            status, _, err = manyviews(*words)
            assert status == 2
            assert err.startswith("Error: ")
