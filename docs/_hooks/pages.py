"""What of the documentation is made from the code when it is built: the reference, the packages' READMEs, the navigation.

mkdocs calls the functions named `on_…`. Nothing that they make is kept in the repository, so it cannot be out of date.
"""

from __future__ import annotations

import ast
import os
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))

from reference import cli_page, components_page, domain_names, matrix_page, recipe_page  # noqa: E402

LINK = re.compile(r"(?<!!)\[([^\]\n]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
CODE = re.compile(r"\{\{ code (\S+) ([^}]+) \}\}")
LINES = re.compile(r"\{\{ lines (\S+) \}\}")
OWN_DATA = ("tables", "graphs", "speech", "medical", "satellite")
HOW_TO = ("resume", "several_devices", "slurm", "object_store", "choose_a_checkpoint", "second_stage")


def readmes() -> dict[str, Path]:
    """Pages that are files outside docs/."""
    found = {"index.md": ROOT / "README.md", "changelog.md": ROOT / "CHANGELOG.md"}
    return found | {f"packages/{path.parent.name}.md": path for path in sorted(ROOT.glob("plugins/*/README.md"))}


def reference() -> dict[str, str]:
    """Pages that the code is asked for."""
    pages = {"reference/cli.md": cli_page(), "reference/recipe.md": recipe_page(), "reference/matrix.md": matrix_page()}
    return pages | {f"reference/{name or 'core'}.md": components_page(name) for name in ("", *domain_names())}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The navigation: every page that there is."""
    docs = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").glob("**/*.md") if "src" not in path.parts}
    own = [f"{name}.md" for name in OWN_DATA if f"{name}.md" in docs]
    named: list[Any] = [
        {"Home": "index.md"},
        {"Tutorials": [f"tutorials/{name}.md" for name in ("pretrain", "modality", "timeseries", "compare")]},
        {"Your own data": own},
        {"How to": [f"howto/{name}.md" for name in HOW_TO]},
        {
            "Recipes and runs": [
                page for page in ("recipes.md", "evaluation.md", "experiments.md", "finetune.md") if page in docs
            ]
        },
        {"Reference": [*(f"reference/{name}.md" for name in ("cli", "recipe", "matrix", "core", *domain_names()))]},
        {"Packages": [page for page in readmes() if page.startswith("packages/")]},
        {"About": ["architecture.md", "benchmarks.md", "decisions.md", "changelog.md"]},
    ]
    told = re.findall(r"'([^']+\.md)'", str(named))
    more = sorted(page for page in docs - set(told) if not page.startswith(("tutorials/timeseries/", "_hooks/")))
    config.nav = [*named, *([{"More": more}] if more else [])]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages that are not in docs/."""
    for src, path in readmes().items():
        files.append(File.generated(config, src, content=path.read_text(encoding="utf-8")))
    for src, text in reference().items():
        files.append(File.generated(config, src, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as they work in the repository, made to work on the site.

    `{{ lines PATH }}` is a number of lines of code, `{{ code PATH NAME … }}` the source of classes, functions and methods.
    """
    src = page.file.src_uri
    home = readmes().get(src, ROOT / "docs" / src).parent
    markdown = CODE.sub(lambda found: f"```python\n{code(ROOT / found[1], found[2].split())}\n```", markdown)
    markdown = LINES.sub(lambda found: str(code_lines(ROOT / found[1])), markdown)
    return LINK.sub(lambda found: _link(found, home, src), markdown)


def _link(found: re.Match[str], home: Path, src: str) -> str:
    text, target, anchor = found[1], found[2], found[3] or ""
    path = Path(os.path.normpath(home / target))
    if "://" in target or not path.exists():
        return found[0]
    page = next((page for page, place in readmes().items() if place == path), None)
    if page is None and path.is_relative_to(ROOT / "docs") and path.suffix in {".md", ".svg", ".png"}:
        page = path.relative_to(ROOT / "docs").as_posix()
    if path == ROOT / "core" / "README.md":
        page = "index.md"
    if page is None:
        return f"{text}"  # a file of the repository that is no page
    return f"[{text}]({os.path.relpath(page, os.path.dirname(src) or '.')}{anchor})"


def code(path: Path, names: list[str]) -> str:
    """The source of what is named (`Class`, `Class.method`), as it stands in a file, decorators included."""
    text = path.read_text(encoding="utf-8")
    found = dict(_definitions(ast.parse(text)))
    lines = text.splitlines()
    parts = [
        lines[min([found[n].lineno, *(d.lineno for d in found[n].decorator_list)]) - 1 : found[n].end_lineno] for n in names
    ]
    return "\n\n".join(textwrap.dedent("\n".join(part)) for part in parts)


def _definitions(tree: ast.Module | ast.ClassDef, above: str = "") -> Iterator[tuple[str, ast.ClassDef | ast.FunctionDef]]:
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            yield f"{above}{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from _definitions(node, f"{node.name}.")


def code_lines(path: Path) -> int:
    """Lines of a file, or of all Python files of a folder, that are neither empty, nor comments, nor docstrings."""
    total = 0
    for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
        text = file.read_text(encoding="utf-8")
        code = {number for number, line in enumerate(text.splitlines(), 1) if line.strip() and not line.strip().startswith("#")}
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
                code -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        total += len(code)
    return total
