"""`manyviews demo`: the whole way on real data in a few minutes, with nothing to prepare."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manyviews.engine.judge import evaluate_run
from manyviews.engine.pretrain import pretrain
from manyviews.errors import PluginError, UserError
from manyviews.plugins.registry import registry
from manyviews.track import store
from manyviews.track.run_file import RunFile
from manyviews.track.runs import where_to_look


@dataclass(frozen=True)
class Demo:
    """What a domain shows of itself. Its `Domain.demo` names a function `(folder) -> Demo` that prepares the data there."""

    recipe: str
    """The recipe's name, or the path of one that was written into the folder."""
    about: str
    """What the data are, in a sentence."""
    overrides: Mapping[str, Any] = field(default_factory=dict)
    """Sections of the recipe: where the data are, and how long to train for a demo's few minutes."""


def run_demo(domain: str | None = None, folder: Path = Path("demo"), say: Callable[[str], None] = print) -> Path:
    """Pretrain, evaluate, report and say where to look. Returns the run folder.

    Args:
        domain: Whose demo; None: that of tables, or of the first domain that has one.
        folder: Where its data and its run are kept.
        say: Where lines for the user go.
    """
    name = domain or _first_domain()
    registry().domain(name, key="demo")
    folder.mkdir(parents=True, exist_ok=True)
    demo = prepare_demo(name, folder)
    say(f"{demo.about}\nRecipe {demo.recipe}\n")
    train = {**demo.overrides.get("train", {}), "folder": str(folder / "runs")}
    track = demo.overrides.get("track", {})
    # The report is made once, when there are results to stand in it.
    track = track if track is None else {**track, "report": False}
    began = time.process_time()
    run = pretrain(demo.recipe, **{**demo.overrides, "train": train, "track": track})
    say(f"Pretrained in {time.process_time() - began:.0f} s of CPU time.\n")
    say(evaluate_run(run.folder).text())
    say(f"\nReport: {_report(run.folder)}")
    state = RunFile.load(run.folder).state
    say(f"Run folder: {run.folder}")
    if state.uri is not None:
        say(f"Look at it in MLflow:  {where_to_look(store.address(state.uri), state, run.folder)}")
    return run.folder


def _report(run: Path) -> str:
    """Where the report with the results is, or why there is none."""
    from manyviews.report.make import report_run

    try:
        return str(report_run(run))
    except UserError as error:
        return f"none. {error}"


def prepare_demo(name: str, folder: Path) -> Demo:
    """The domain's demo, its data in `folder`.

    Raises:
        UserError: There is no such domain, or it has no demo; names those that have one.
        PluginError: Its demo cannot be imported.
    """
    domain = registry().domain(name, key="demo")
    if domain.demo is None:
        others = ", ".join(found.name for found in registry().domains() if found.demo) or "none of those that are installed"
        raise UserError(f"demo: domain `{name}` has none\n  Domains with a demo: {others}")
    module, _, attribute = domain.demo.partition(":")
    try:
        prepare = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise PluginError(f"demo: that of domain `{name}` cannot be imported: {error}; reinstall manyviews-{name}") from error
    demo: Demo = prepare(folder)
    return demo


def _first_domain() -> str:
    """`tabular` where it is installed, since its demo needs nothing else."""
    found = [domain.name for domain in registry().domains() if domain.demo]
    if not found:
        raise UserError("demo: no installed domain has one; pip install manyviews-tabular")
    return "tabular" if "tabular" in found else found[0]
