"""What all kits have in common: which plugin they test, and one test for each form of each of its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest
import torch

from manyviews.testing.bench import Bench, bench_of
from manyviews.testing.subject import Case, Subject, parts_of

EXCEPTED = "excepted for "
"""How the reason of a skipped test begins where the plugin's trial excepts it."""
DEVICES = ("cpu", *(("cuda",) if torch.cuda.is_available() else ()))


class Kit:
    """Subclass it in a test module of the plugin, under a name that begins with `Test`, and say which plugin it is.

    No test is overridden there: one that cannot hold for a part stands in `Trial.exceptions`, with the reason.
    """

    plugin: ClassVar[str]
    """Module of the plugin's entry point: `manyviews_sonar.plugin`."""
    kind: ClassVar[str]
    """Of the components that it tests."""
    looks_at: ClassVar[str] = "forward"
    """The method of such a component that its tests are about, for `manyviews check-plugin`."""
    looks_elsewhere: ClassVar[Mapping[str, str]] = {}
    """Test -> another method that it is about."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """A test with a parameter `case` runs once for each form of each part, one with `device` on each device."""
        if "case" in metafunc.fixturenames:
            metafunc.parametrize("case", self.cases(), ids=str)
        if "device" in metafunc.fixturenames:
            metafunc.parametrize("device", DEVICES)

    @classmethod
    def subject(cls) -> Subject:
        """The plugin."""
        return Subject.of(cls.plugin)

    @classmethod
    def cases(cls) -> Sequence[Any]:
        """What is tested."""
        found: list[Case] = cls.subject().cases(cls.kind)
        return found

    @pytest.fixture(autouse=True)
    def excepted(self, request: pytest.FixtureRequest) -> None:
        """Skips what the trial excepts, with its reason."""
        names = parts_of(request.node.callspec.params.get("case")) if "case" in request.fixturenames else ()
        check = request.node.function.__name__.removeprefix("test_")
        for name in names:
            if (reason := self.subject().trial.exceptions.get(name, {}).get(check)) is not None:
                pytest.skip(f"{EXCEPTED}{name}: {reason}")

    @pytest.fixture
    def bench(self, tmp_path_factory: pytest.TempPathFactory) -> Bench:
        """The plugin on its trial data, which are made once a process."""
        return bench_of(self.plugin, tmp_path_factory.getbasetemp() / "benches" / self.plugin)
