"""A scratch domain with components and recipes, installed as any other: a dist-info folder and a package."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from manyviews.plugins import registry as found
from manyviews.plugins.installed import installed_plugins
from manyviews.plugins.registry import registry

PLUGIN = """
from manyviews.domain import Domain
from manyviews.hookspecs import hookimpl

@hookimpl
def manyviews_domain():
    return Domain(
        name="sonar", summary="Echoes.", core=">=0",
        components={
            "source": {"pings": "sonar_scratch.parts:Pings"},
            "encoder": {"net": "sonar_scratch.parts:Net", "deaf": "sonar_scratch.parts:Deaf"},
            "views": {"echoes": "sonar_scratch.parts:Echoes", "ordered": "sonar_scratch.parts:Ordered"},
            "objective": {"match": "sonar_scratch.parts:Match"},
            "task": {"depth": "sonar_scratch.parts:Depth", "gone": "sonar_scratch.gone:Gone"},
        },
        recipes="sonar_scratch:recipes",
    )

@hookimpl
def manyviews_doctor(path):
    if path.suffix == ".png":
        return None
    return [f"{path.name}: silent; record it again"] if not path.stat().st_size else []
"""
PARTS = '''
from __future__ import annotations
from typing import Annotated, Literal
from pydantic import Field
from manyviews.errors import DataError, UserError
from manyviews.source import Spec
from manyviews.traits import Trait

class PingSpec(Spec):
    rate: int

class Pings:
    """Echoes in files.

    Args:
        path: A folder of recordings.
        rate: Samples a second.
        copy: A name that pydantic's models have already.
    """
    def __init__(
        self, *, path: str, rate: Annotated[int, Field(gt=0)] = 8000, copy: bool = False, spec: PingSpec | None = None
    ) -> None:
        if path == "nowhere":
            raise DataError("nowhere: there are no recordings")
        self.path, self.rate, self.copy, self.spec = path, rate, copy, spec or PingSpec(rate=rate)

class Net:
    """A net.

    Args:
        width: Width of a token.
        heads: Attention heads.
    """
    offers = frozenset({Trait.HIDES_TOKENS})
    def __init__(self, spec: PingSpec, /, *, width: Annotated[int, Field(gt=0)] = 64, heads: int = 4) -> None:
        if width % heads:
            raise ValueError(f"width {width} is no multiple of heads {heads}")
        self.spec, self.width, self.heads = spec, width, heads

class Deaf:
    """An encoder that must see everything."""
    offers = frozenset()
    def __init__(self, spec: PingSpec, /) -> None:
        self.spec = spec

class Echoes:
    """Two echoes."""
    gives = frozenset({Trait.SEVERAL_VIEWS})
    needs = frozenset()
    target = None
    def __init__(self, *, gain: tuple[float, float] = (0.5, 2.0)) -> None:
        self.gain = gain

class Ordered:
    """Two echoes, token by token."""
    gives = frozenset({Trait.SEVERAL_VIEWS, Trait.ALIGNED_TOKENS})
    needs = frozenset()
    target = None

class Match:
    """Pull the views of a sample together.

    Named after nothing in particular.

    Args:
        temperature: Of the softmax.
        kind: How to compare.
        margin: Slack, or `auto`.
    """
    needs = frozenset({Trait.SEVERAL_VIEWS})
    target = None
    forms = {}
    across = "each process on its own"
    def __init__(
        self,
        *,
        temperature: Annotated[float, Field(gt=0)] = 0.1,
        kind: Literal["cosine", "dot"] = "cosine",
        margin: Annotated[float, Field(ge=0)] | Literal["auto"] = "auto",
    ) -> None:
        if kind == "dot" and margin == "auto":
            raise UserError("margin: `auto` is for kind cosine")
        self.temperature, self.kind, self.margin = temperature, kind, margin

class Depth:
    """How deep it is."""
    def __init__(self, *, tries: int = 3) -> None:
        self.tries = tries
'''
BASE = """\
domain: sonar
data: {source: pings, path: ???}
encoder: {name: net, width: 32}
views: {name: echoes}
objective:
  name: match
  temperature: 0.2
optim: {lr: 1e-3}
train:
  steps: 100
evaluate:
- {task: depth, every: 50, tries: 5}
- {task: effective_rank}
"""
RECIPES = {"_base": BASE, "plain": "extends: sonar/_base\n", "wide": "extends: sonar/plain\nencoder:\n  width: 128\n"}


@pytest.fixture(scope="session")
def sonar_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the scratch domain is installed in."""
    folder = tmp_path_factory.mktemp("sonar")
    package, info = folder / "sonar_scratch", folder / "manyviews_sonar-3.1.dist-info"
    (package / "recipes").mkdir(parents=True)
    info.mkdir()
    for name, text in {"__init__.py": "", "plugin.py": PLUGIN, "parts.py": PARTS}.items():
        (package / name).write_text(text)
    for name, text in RECIPES.items():
        (package / "recipes" / f"{name}.yaml").write_text(text)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: manyviews-sonar\nVersion: 3.1\nRequires-Dist: manyviews\n")
    (info / "entry_points.txt").write_text("[manyviews]\nsonar = sonar_scratch.plugin\n")
    return folder


@pytest.fixture
def sonar(sonar_site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The domain `sonar` is installed, and no other, whatever else this machine has."""
    monkeypatch.syspath_prepend(str(sonar_site))
    monkeypatch.setattr(found, "installed_plugins", lambda: [one for one in installed_plugins() if one.name == "sonar"])
    registry.cache_clear()
    yield
    registry.cache_clear()
    for name in [name for name in sys.modules if name.startswith("sonar_scratch")]:
        del sys.modules[name]
