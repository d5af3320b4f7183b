"""`manyviews demo`: the whole way on real data in a few minutes, with nothing to prepare."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from manyviews.engine.judge import evaluate_run
from manyviews.engine.pretrain import pretrain
from manyviews.errors import UserError
from manyviews.plugins.registry import registry
from manyviews.track import store
from manyviews.track.run_file import RunFile
from manyviews.track.runs import where_to_look


@dataclass(frozen=True)
class Demo:
    """What a domain shows of itself. Its `Domain.demo` names a function `(folder) -> Demo` that prepares the data there."""

    recipe: str
    """The recipe's name."""
    about: str
    """What the data are, in a sentence."""
    overrides: Mapping[str, Any] = field(default_factory=dict)


def run_demo(domain: str | None = None, folder: Path = Path("demo"), say: Callable[[str], None] = print) -> Path:
    """Pretrain, evaluate and say where to look. Returns the run folder."""
    folder.mkdir(parents=True, exist_ok=True)
    demo = _prepare(domain or _first_domain(), folder)
    say(f"{demo.about}\nRecipe {demo.recipe}\n")
    train = {**demo.overrides.get("train", {}), "folder": str(folder / "runs")}
    began = time.process_time()
    run = pretrain(demo.recipe, **{**demo.overrides, "train": train})
    say(f"Pretrained in {time.process_time() - began:.0f} s of CPU time.\n")
    say(evaluate_run(run.folder).text())
    state = RunFile.load(run.folder).state
    say(f"\nRun folder: {run.folder}")
    if state.uri is not None:
        say(f"Look at it in MLflow:  {where_to_look(store.address(state.uri), state, run.folder)}")
    return run.folder


def _prepare(name: str, folder: Path) -> Demo:
    domain = registry().domain(name)
    if domain.demo is None:
        raise UserError(f"domain `{name}` has no demo; `manyviews describe {name}/…` shows its recipes")
    module, _, attribute = domain.demo.partition(":")
    return cast(Demo, getattr(importlib.import_module(module), attribute)(folder))


def _first_domain() -> str:
    found = [domain.name for domain in registry().domains() if domain.demo]
    if not found:
        raise UserError("no installed domain has a demo; pip install manyviews-tabular")
    return "tabular" if "tabular" in found else found[0]
