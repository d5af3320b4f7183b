"""What the core relies on in a plugin as a whole: it is light, and what it names is there and described."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from manyviews.downstream import Downstream
from manyviews.encoder import Encoder
from manyviews.evaluate.task import Task
from manyviews.objective import Objective
from manyviews.plugins.component import Component
from manyviews.plugins.note import Note
from manyviews.plugins.schema import parameters, summary
from manyviews.renderer import Renderer
from manyviews.source import Source
from manyviews.testing.bench import Bench
from manyviews.testing.kit import Kit
from manyviews.view import ViewGenerator
from manyviews.writer import Writer

BASES: dict[str, type[Any]] = {
    "source": Source, "encoder": Encoder, "views": ViewGenerator, "objective": Objective, "task": Task,
    "downstream": Downstream, "writer": Writer, "renderer": Renderer
}  # fmt: skip
LIMIT_MS = 50.0
HEAVY = ("torch", "numpy", "pandas", "pydantic", "scipy", "sklearn")
COST = """
import importlib, sys, time
import manyviews.domain, manyviews.hookspecs
begun = time.process_time()
importlib.import_module(sys.argv[1]).manyviews_domain()
print(1000 * (time.process_time() - begun), *(name for name in sys.argv[2:] if name in sys.modules))
"""


class PluginKit(Kit):
    """A plugin's description."""

    kind = "source"
    looks_at = "__init__"

    @classmethod
    def cases(cls) -> Sequence[Any]:
        """Every component that the plugin names."""
        domain = cls.subject().domain.name
        return [part for part in cls.subject().registry.components() if part.name.startswith(f"{domain}/")]

    def test_its_module_is_light(self) -> None:
        """It is imported at every start of every command. CPU time, the least of three processes'."""
        words = [sys.executable, "-c", COST, self.plugin, *HEAVY]
        told = [subprocess.run(words, capture_output=True, text=True, check=True).stdout.split() for _ in range(3)]
        heavy = {name for _, *names in told for name in names}
        assert not heavy, f"{self.plugin} imports {', '.join(sorted(heavy))}: import them in the modules of the components"
        least = min(float(cost) for cost, *_ in told)
        assert least <= LIMIT_MS, f"importing {self.plugin} takes {least:.0f} ms of CPU; {LIMIT_MS:.0f} are allowed"

    def test_each_component_is_what_its_kind_says(self, case: Component) -> None:
        cls = case.load()
        assert issubclass(cls, BASES[case.kind]), f"{case.path}: a component of kind {case.kind} is a {BASES[case.kind]}"
        assert summary(cls), f"{case.path} has no docstring; `manyviews describe` shows its first paragraph"
        fields = parameters(cls).model_fields
        silent = [field.alias or name for name, field in fields.items() if not field.description]
        assert not silent, f"{case.path}: no word under `Args:` on {', '.join(silent)}"

    def test_its_exceptions_are_of_checks_that_there_are(self) -> None:
        known = {name.removeprefix("test_") for kit in Kit.__subclasses__() for name in vars(kit) if name.startswith("test_")}
        given = [pair for checks in self.subject().trial.exceptions.values() for pair in checks.items()]
        unknown = sorted({check for check, _ in given} - known)
        assert not unknown, f"Trial.exceptions: there is no check {', '.join(unknown)}"
        assert all(reason.strip() for _, reason in given), "Trial.exceptions: each has a reason"

    def test_its_demo_is_there(self) -> None:
        demo = self.subject().domain.demo
        if demo is not None:
            module, _, attribute = demo.partition(":")
            assert callable(getattr(importlib.import_module(module), attribute)), f"Domain.demo: {demo} is no function"

    def test_its_doctor_finds_nothing_wrong_with_sound_data(self, bench: Bench) -> None:
        for data in self.subject().trial.data:
            path = bench.settings(data)["data"].get("path")
            if path is None:
                continue
            for _, findings in self.subject().registry.call("manyviews_doctor", path=bench.folder / path):
                faults = [finding for finding in findings if not isinstance(finding, Note)]
                assert not faults, f"the trial data `{data}` are sound, and manyviews_doctor says {faults}"
