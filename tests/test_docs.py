"""Every command and snippet of the documentation is run, on small data and for a few steps.

What a page needs to know stands in it, unseen by readers: `<!-- docs: data tables -->` (a function of docs_data.py),
`<!-- docs: not run, REASON -->` before a block that needs a cluster, a GPU or a server. Of such a block, and of every
`pretrain` as it stands, the recipe is still checked whole (`--dry-run`). `pip` and `make` are not run; what they name must be
there.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

import manyviews as mv
from manyviews.cli.main import COMMANDS, run
from manyviews.plugins.registry import registry
from manyviews.recipe.load import components, load_recipe
from manyviews.testing.fixtures import install_fake
from manyviews.testing.subject import Subject

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("plugins/*/README.md")),
    *sorted(path for path in ROOT.glob("docs/**/*.md") if "timeseries" not in path.parent.name),
    ROOT / "docs" / "tutorials" / "timeseries" / "README.md",
]
FENCE = re.compile(r"^(?P<ticks>```+)(?P<language>[\w-]*)[^\n]*\n(?P<text>.*?)^(?P=ticks)\s*$", re.MULTILINE | re.DOTALL)
TOLD = re.compile(r"<!-- docs: (data|not run,) ([^>]*?) ?-->")
PROGRAMS = ("pip", "make", "manyviews", "python", "pytest", "mlflow", "torchrun", "srun")
UNTRACKED = ("track=null",)
SHORT = ("train.steps=3", "train.epochs=null", "train.batch_size=16", "train.log_every=1", "train.device=cpu")
TRAIN = {"steps": 3, "epochs": None, "batch_size": 16, "log_every": 1, "device": "cpu"}

_docs_data = importlib.util.spec_from_file_location("docs_data", Path(__file__).with_name("docs_data.py"))
assert _docs_data is not None
assert _docs_data.loader is not None
docs_data: Any = importlib.util.module_from_spec(_docs_data)
_docs_data.loader.exec_module(docs_data)


@dataclass
class Block:
    """A fenced block."""

    language: str
    text: str
    line: int
    not_run: str = ""
    """Why it is not run."""


@dataclass
class Doc:
    """A page."""

    path: Path
    data: list[str] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)


def read(path: Path) -> Doc:
    text, doc = path.read_text(encoding="utf-8"), Doc(path)
    doc.data = docs_data.data_of(str(path.relative_to(ROOT))) + [name for told, name in TOLD.findall(text) if told == "data"]
    reason, found = "", sorted([*FENCE.finditer(text), *TOLD.finditer(text)], key=lambda match: match.start())
    for match in found:
        if match.re is TOLD:
            reason = match[2] if match[1] != "data" else reason
            continue
        program = "".join(match["text"].split(maxsplit=1)[:1])
        language = match["language"] or ("bash" if program in PROGRAMS else "text")
        doc.blocks.append(Block(language, match["text"], text[: match.start()].count("\n") + 1, reason))
        reason = ""
    return doc


def commands(text: str) -> Iterator[list[str]]:
    """Commands of a shell block as words, line by line; comments are dropped, `\\` goes on."""
    for line in text.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


class Page:
    """A page being run, in a folder of its own."""

    def __init__(self, doc: Doc, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.doc, self.folder, self.monkeypatch = doc, folder, monkeypatch
        self.names: dict[str, Any] = docs_data.names_python(str(doc.path.relative_to(ROOT)))
        self.paths: list[str] = []
        self.wants: dict[str, Any] = {}
        for name in doc.data:
            assert name in docs_data.SETS, f"{doc.path.name}: docs_data.py has no data `{name}`"
            self.wants |= docs_data.SETS[name](folder)

        monkeypatch.setattr(mv, "pretrain", self.pretrain, raising=False)
        monkeypatch.setattr(mv, "finetune", self.finetune, raising=False)

    def pretrain(self, recipe: Any, **sections: Any) -> Any:
        """`mv.pretrain` for a few steps."""
        from manyviews.engine.pretrain import pretrain

        train = {**sections.pop("train", {}), **TRAIN, **self.wants.get("train", {})}
        return pretrain(recipe, **{**sections, "train": train, "track": None})

    def finetune(self, run: Any, **sections: Any) -> Any:
        """`mv.finetune` for a few steps."""
        from manyviews.finetuning.study import finetune

        return finetune(run, overrides={**sections, "train": {"steps": 2, "epochs": None, "batch_size": 16}, "track": None})

    def shell(self, block: Block) -> None:
        for words in commands(block.text):
            self.command(words if block.not_run else [self.filled(word) for word in words], block)

    def command(self, words: list[str], block: Block) -> None:
        match words[0]:
            case "manyviews":
                self.manyviews(words[1:], block)
            case "pip":
                self.pip(words)
            case "make":
                targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
                assert set(words[1:]) <= targets, f"no such target: {words}"
            case "python":
                if not block.not_run:
                    subprocess.run([sys.executable, *words[1:]], check=True, cwd=self.folder, env=self.environment())
            case "cd":
                os.chdir(words[1])
            case "pytest":
                assert len(words) == 1, "a plugin's own tests, run as in tests/test_tutorial.py"
            case _:
                assert block.not_run, f"line {block.line}: {words[0]} is not run here; say why: <!-- docs: not run, … -->"

    def manyviews(self, words: list[str], block: Block) -> None:
        name, rest = words[0], words[1:]
        assert name in COMMANDS, f"no such command: {name}"
        if name == "pretrain" and "--resume" not in rest:
            self.check(rest)
            if "--dry-run" in rest or block.not_run:
                return
            train = [f"train.{key}={value}" for key, value in self.wants.get("train", {}).items()]
            rest = [*(word for word in rest if not self.untracked or not word.startswith("track.")), *self.small(rest)]
            rest += [*SHORT, *self.untracked, *train]
        if name == "sweep" and "--resume" not in rest:
            rest += [*SHORT, *UNTRACKED]
        if name == "finetune" and "--resume" not in rest:
            rest = [*rest, "train.steps=2", "train.epochs=null", "train.batch_size=16", "track=null"]
        if block.not_run:
            return
        if name == "demo":  # minutes; each is run by its domain's tests, or test_tutorial.py
            data = self.folder / "demo"
            registry().domain(rest[0] if rest else "tabular")
            data.mkdir(exist_ok=True)
            if rest and rest[0] in ("sonar", "timeseries"):
                code = f"from pathlib import Path; from manyviews_{rest[0]}.trial import demo; demo(Path('demo'))"
                subprocess.run([sys.executable, "-c", code], check=True, cwd=self.folder, env=self.environment())
            return
        if name == "check-plugin":  # whole in test_wheels.py and test_tutorial.py
            self.outside([name, *rest, "--only", "plugin"])
            return
        status = run([name, *rest])
        assert status in ((0, 1) if name == "doctor" else (0,)), f"line {block.line}: manyviews {shlex.join([name, *rest])}"

    @property
    def untracked(self) -> tuple[str, ...]:
        return () if "tracked" in self.wants else UNTRACKED

    def small(self, words: list[str]) -> list[str]:
        """What the page's small data want of a recipe, and what makes its parts small; what is said already stands."""
        recipe = load_recipe(words[0], [*words[1:], *SHORT, *UNTRACKED])
        given = {key: value for key, value in self.wants.get("data", {}).items() if key not in ("source", "path")}
        found = {f"data.{key}": value for key, value in given.items()}
        (plugin,) = [plugin for plugin in registry().plugins if plugin.name == recipe.domain]
        for key, kind, part, _ in components(recipe):
            if kind in ("encoder", "views", "objective"):
                full = registry().component(kind, part, recipe.domain).name
                found |= {f"{key}.{name}": value for name, value in Subject.of(plugin.entry_point).trial.small(full).items()}
        said = {word.partition("=")[0] for word in words[1:]}
        return [f"{key}={json.dumps(value)}" for key, value in found.items() if key not in said]

    def check(self, words: list[str]) -> None:
        """The recipe and its overrides as they stand, whole, without data."""
        if words[0] == "…":
            return
        domain = words[0].partition("/")[0]
        installed = {known.name for known in registry().domains()}
        assert words[0].endswith(".yaml") or domain in installed, f"{words[0]}: domain {domain} is not installed"
        assert run(["pretrain", *words, *([] if "--dry-run" in words else ["--dry-run"])]) == 0, shlex.join(words)

    def pip(self, words: list[str]) -> None:
        """What is installed must be there; an editable plugin is put on the path with its entry point, as pip would."""
        own = {"manyviews", *(f"manyviews-{path.name}" for path in (ROOT / "plugins").iterdir())}
        editable = "-e" in words
        for word in words[2:]:
            if word.startswith("-"):
                continue
            name = word.partition("[")[0]
            name = str(self.doc.path.parent) if name == "." else name
            if name in own or (ROOT / name).is_dir():
                continue_ = editable and (ROOT / name).is_dir()
            else:
                assert (self.folder / name).is_dir(), f"{shlex.join(words)}: there is no {name}"
                continue_ = editable
            if continue_:
                self.install(self.folder / name if (self.folder / name).is_dir() else ROOT / name)

    def install(self, project: Path) -> None:
        if not (project / "pyproject.toml").is_file() or "entry-points" not in (project / "pyproject.toml").read_text():
            return
        text = (project / "pyproject.toml").read_text()
        name, module = re.findall(r'^(\w+) = "([\w.]+\.plugin)"$', text, re.MULTILINE)[0]
        site = self.folder / ".site" / name
        install_fake(site, f"manyviews-{name}", name, module)
        for path in (str(project.resolve() / "src"), str(site)):
            self.paths.append(path)
            self.monkeypatch.syspath_prepend(path)
        registry.cache_clear()

    def environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": os.pathsep.join([*self.paths, os.environ.get("PYTHONPATH", "")])}

    def outside(self, words: list[str]) -> None:
        """In a process of its own: pytest within pytest would not do."""
        command = [sys.executable, "-c", "from manyviews.cli.main import main; main()", *words]
        done = subprocess.run(command, cwd=self.folder, env=self.environment(), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def python(self, block: Block) -> None:
        if "run" not in self.names and (self.folder / "runs").is_dir() and "run." in block.text:
            self.names["run"] = mv.Run.open(self.folder / self.filled("runs/<run>"))
        code = compile(self.filled(block.text), f"{self.doc.path.name}:{block.line}", "exec")
        exec(code, self.names)  # noqa: S102 - that is what is tested

    def yaml(self, block: Block) -> None:
        file = self.folder / "recipe.yaml"
        file.write_text(block.text, encoding="utf-8")
        if "domain" in yaml.safe_load(block.text):
            load_recipe(str(file))

    def filled(self, text: str) -> str:
        """Placeholders: the newest run (`runs/<run>`, `runs/tabular-t_jepa-…`), a checkpoint of it, a part of a finetuning."""
        if "<sweep>" in text:
            text = text.replace("<sweep>", max((self.folder / "sweeps").iterdir(), key=lambda path: path.stat().st_mtime).name)
        if "<run>" not in text and "…" not in text:
            return text
        begun = sorted((self.folder / "runs").iterdir(), key=lambda path: path.stat().st_mtime)
        runs = [path for path in begun if (path / "checkpoints").is_dir()]
        studies = [path for path in begun if (path / "parts").is_dir()]
        text = text.replace("<run>", runs[-1].name)
        text = text.replace("<step>", max(path.name for path in (runs[-1] / "checkpoints").glob("step-*")))
        if studies:
            text = re.sub(r"runs/[\w-]*finetune-…", f"runs/{studies[-1].name}", text)
            text = text.replace("parts/…", f"parts/{next((studies[-1] / 'parts').iterdir()).name}")
        return re.sub(r"runs/[\w-]+-…", f"runs/{runs[-1].name}", text)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # those of libraries, at their own import
@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_page_shows_works(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    doc = read(path)
    wanted = {"bash", "python", "yaml"} & {block.language for block in doc.blocks}
    if not wanted:
        pytest.skip("shows nothing that runs")
    monkeypatch.chdir(tmp_path)
    page = Page(doc, tmp_path, monkeypatch)
    try:
        for block in doc.blocks:
            if block.language in ("bash", "console", "shell"):
                page.shell(block)
            elif block.language == "python" and not block.not_run:
                page.python(block)
            elif block.language == "yaml":
                page.yaml(block)
    finally:
        registry.cache_clear()


def test_every_block_says_what_it_is() -> None:
    known = {"bash", "console", "shell", "python", "yaml", "text", "toml", "json"}
    for path in PAGES:
        for block in read(path).blocks:
            assert block.language in known, f"{path}, line {block.line}: a block of `{block.language}` is tested by nobody"


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_without_a_network(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    html = (tmp_path / "site" / "reference" / "core" / "index.html").read_text()
    assert "masked_reconstruction" in html
    for page in (tmp_path / "site").rglob("*.html"):
        fetched = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)"', page.read_text())
        assert not [link for link in fetched if "canonical" not in link], f"{page} fetches {fetched[0]}"
