"""The conformance kit without a test file: every check run on a plugin, and each failure in words.

The kits are pytest classes, so this writes the module that a plugin's author would write, runs pytest on it in this process,
without its reports, and listens to what comes of each test.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from traceback import FrameSummary, extract_tb
from typing import Any, cast
from unittest.mock import patch

import pytest
import torch

from manyviews.plugins.component import Component
from manyviews.testing import kits
from manyviews.testing.bench import Bench
from manyviews.testing.kit import EXCEPTED, Kit
from manyviews.testing.place import place_of

KITS: dict[str, type[Kit]] = {
    "plugin": kits.PluginKit,
    "sources": kits.SourceKit,
    "encoders": kits.EncoderKit,
    "views": kits.ViewsKit,
    "renderers": kits.RendererKit,
    "objectives": kits.ObjectiveKit,
    "recipes": kits.RecipeKit,
    "matrix": kits.MatrixKit,
}
"""How a kit is called on the screen -> its class."""
ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "", "OMP_NUM_THREADS": "1"}
"""No pytest plugins that happen to be installed, no options from outside, and in the processes that checks start one thread."""


@dataclass(frozen=True)
class Failure:
    """A check that does not hold."""

    kit: str
    check: str
    case: str
    """What it was tried on; empty where the check is of the whole plugin."""
    message: str
    place: str
    """`file:line (method)`."""


@dataclass
class Outcome:
    """What came of the checks of one kit."""

    kit: str
    held: int = 0
    left_out: int = 0
    """Checks that do not apply: of what a part does not offer, of what the data do not have."""
    excepted: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def check_plugin(
    entry_point: str,
    *,
    only: Sequence[str] = (),
    quick: bool = False,
    done: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Run every check on the plugin of an entry point's module (`manyviews_sonar.plugin`).

    Args:
        entry_point: The module.
        only: These kits alone (`KITS`); none: all.
        quick: Leave out those that take more than a few seconds: several processes, resuming, training through the engine.
        done: Told of each kit when it has been run.
    """
    listener = _Listener(done)
    with tempfile.TemporaryDirectory(prefix="manyviews-check-") as folder, patch.dict(os.environ, ALONE):
        place = Path(folder)
        (place / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\nmarkers = slow\n", encoding="utf-8")
        (place / "test_check.py").write_text(_module(entry_point, only or tuple(KITS)), encoding="utf-8")
        words = ["-c", str(place / "pytest.ini"), "--rootdir", folder, "--basetemp", str(place / "work")]
        words += ["-p", "no:cacheprovider", "-p", "no:terminal", *(["-m", "not slow"] if quick else [])]
        with _one_thread():
            pytest.main([*words, str(place / "test_check.py")], plugins=[listener])
    listener.finish()
    return list(listener.outcomes.values())


@contextmanager
def _one_thread() -> Iterator[None]:
    """What is tried on is so small that several threads wait for one another: on a busy machine five times as long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _module(entry_point: str, only: Sequence[str]) -> str:
    names = ", ".join(sorted(kit.__name__ for kit in KITS.values()))
    chosen = {name: kit.__name__ for name, kit in KITS.items() if name in only}
    classes = [f"class Test_{name}({kit}):\n    plugin = {entry_point!r}\n" for name, kit in chosen.items()]
    return "\n\n".join([f"from manyviews.testing.kits import {names}\n", *classes])


class _Listener:
    """A pytest plugin that keeps what came of each test."""

    def __init__(self, done: Callable[[Outcome], None]) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.done = done

    def finish(self) -> None:
        """All tests of the last kit have been run."""
        if self.outcomes:
            self.done(list(self.outcomes.values())[-1])

    def outcome(self, kit: str) -> Outcome:
        if kit not in self.outcomes:
            self.finish()
            self.outcomes[kit] = Outcome(kit)
        return self.outcomes[kit]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Function, call: pytest.CallInfo[None]) -> Iterator[None]:
        report = cast(pytest.TestReport, (yield))
        outcome = self.outcome(item.cls.__name__.removeprefix("Test_") if item.cls else "?")
        if report.failed and call.excinfo is not None:
            outcome.failures.append(_failure(outcome.kit, item, call.excinfo))
        elif report.skipped and call.excinfo is not None:
            self._skipped(outcome, str(call.excinfo.value))
        elif report.when == "call":
            outcome.held += 1
        return report  # type: ignore[return-value]

    @staticmethod
    def _skipped(outcome: Outcome, reason: str) -> None:
        if not reason.startswith(EXCEPTED):
            outcome.left_out += 1
        elif (line := reason.removeprefix(EXCEPTED)) not in outcome.excepted:
            outcome.excepted.append(line)


def _failure(kit: str, item: pytest.Function, excinfo: pytest.ExceptionInfo[BaseException]) -> Failure:
    test = item.function.__name__
    given: dict[str, Any] = item.callspec.params if "case" in item.fixturenames else {}
    frames: list[FrameSummary] = list(extract_tb(excinfo.tb))
    assert item.cls is not None
    bench = cast("Bench | None", item.funcargs.get("bench"))
    place = place_of(item.cls, test, given.get("case"), bench, frames)
    check = test.removeprefix("test_").replace("_", " ")
    return Failure(kit, check, _spelled(given.get("case", "")), said(excinfo.value), place)


def _spelled(case: object) -> str:
    return case.name if isinstance(case, Component) else str(case)


def said(error: BaseException) -> str:
    """What an assertion of the kit says, its first lines; the class and words of any other exception."""
    text = str(error).strip()
    if isinstance(error, AssertionError) and text:
        lines = [line.strip() for line in text.splitlines()]
        return " ".join(filter(None, lines[:3]))[:300]
    return f"{type(error).__name__}: {' '.join(text.split())}"[:300]
