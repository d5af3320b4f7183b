"""What may import what, and what importing may cost."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLUGINS = sorted(path.name for path in (ROOT / "plugins").iterdir() if path.is_dir())
FOREIGN = {"monai", "rasterio", "torchaudio", "torch_geometric", "pandas", "pyarrow"}


def imports(folder: Path) -> dict[str, set[str]]:
    """Root packages that each file under a folder imports, wherever in the file."""
    found: dict[str, set[str]] = {}
    for path in folder.rglob("*.py"):
        roots: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                roots |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                roots.add(node.module.partition(".")[0])
        found[str(path.relative_to(ROOT))] = roots
    assert found, f"no Python under {folder}"
    return found


def test_the_core_imports_no_plugin_and_no_domains_library() -> None:
    allowed = {"core/src/manyviews/export/files.py": {"pyarrow"}}  # the output format that was asked for, and only then
    for path, roots in imports(ROOT / "core" / "src").items():
        wrong = {name for name in roots if name.startswith("manyviews_")} | (roots & FOREIGN - allowed.get(path, set()))
        assert not wrong, f"{path} imports {wrong}"


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_imports_no_other_plugin(plugin: str) -> None:
    own = f"manyviews_{plugin}"
    for path, roots in imports(ROOT / "plugins" / plugin / "src").items():
        wrong = {name for name in roots if name.startswith("manyviews_") and name != own}
        assert not wrong, f"{path} imports {wrong}"


SOURCES = [ROOT / "core" / "src", *sorted(ROOT.glob("plugins/*/src"))]


def graph(folder: Path) -> dict[str, set[str]]:
    """Modules under a folder -> those of them that each imports, wherever in the file and for types alone, too."""
    files = {
        ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__"): path
        for path in folder.rglob("*.py")
    }
    found: dict[str, set[str]] = {}
    for module, path in files.items():
        named: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                named |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                inside = {f"{node.module}.{alias.name}" for alias in node.names}
                named |= (inside & files.keys()) or {node.module}
        found[module] = named & files.keys() - {module}
    return found


def circle(imports: dict[str, set[str]]) -> list[str]:
    """Modules that import one another round about; empty where none do."""
    left = dict(imports)
    while leaves := [module for module, others in left.items() if not others & left.keys()]:
        for module in leaves:
            del left[module]
    way: list[str] = []
    module = min(left, default="")
    while module and module not in way:
        way.append(module)
        module = min(left[module] & left.keys())
    return [*way[way.index(module) :], module] if way else []


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("folder", SOURCES, ids=lambda folder: folder.parent.name)
def test_no_module_imports_itself_round_about(folder: Path) -> None:
    found = circle({module: others for module, others in graph(folder).items() if module != "manyviews"})
    assert not found, " -> ".join(found)


def test_no_init_file_in_a_folder_of_tests() -> None:
    assert not [path for path in ROOT.glob("**/tests/**/__init__.py") if ".venv" not in path.parts]


def test_no_check_of_the_conformance_kit_is_overridden() -> None:
    """What cannot hold stands in `Trial.exceptions`, with its reason, where `manyviews check-plugin` sees it too."""
    modules = [*ROOT.glob("**/tests/test_*conformance.py"), ROOT / "core" / "tests" / "test_testing_toy.py"]
    assert len(modules) > len(PLUGINS)
    for path in modules:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("Kit") for base in node.bases):
                assert [type(line) for line in node.body] == [ast.Assign], f"{path}: {node.name} says which plugin, and no more"


def test_modules_are_short() -> None:
    files = [*ROOT.glob("core/src/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")]
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert not {path: count for path, count in lines.items() if count > 400}
    assert sorted(lines.values())[len(lines) // 2] <= 120


@pytest.mark.parametrize(
    "code",
    [
        "import manyviews",
        "import manyviews.cli.main",
        "from manyviews.plugins.registry import registry; registry().domains()",
        "from manyviews.recipe.load import load_recipe; load_recipe('tabular/t_jepa', ['data.path=x'])",
    ],
)
def test_torch_is_not_imported_before_it_is_needed(code: str) -> None:
    check = f"{code}\nimport sys\nassert not {{'torch', 'mlflow', 'sklearn', 'pandas'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_the_core_exports_at_most_25_names_and_all_are_there() -> None:
    import manyviews

    assert len(manyviews.__all__) <= 25
    assert all(getattr(manyviews, name) is not None for name in manyviews.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        manyviews.nothing  # noqa: B018
