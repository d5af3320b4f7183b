"""The plugin that a kit tests: its parts, in the forms that its trial names. Nothing is read or built here."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from manyviews.domain import Domain
from manyviews.objective import Unit
from manyviews.plugins.component import Component
from manyviews.plugins.discover import Selection
from manyviews.plugins.installed import Installed
from manyviews.plugins.match import Facts, asked_by, facts_of, first_pair
from manyviews.plugins.registry import Registry
from manyviews.plugins.schema import build
from manyviews.plugins.state import State
from manyviews.testing.trial import Trial
from manyviews.traits import Trait

CHOSEN: Mapping[Trait, Mapping[str, Any]] = {Trait.CAUSAL: {"causal": True}}
"""What a recipe has to say of an encoder for an objective with this need."""


@dataclass(frozen=True)
class Case:
    """A component in one form, on one kind of data."""

    part: Component
    data: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    variant: str = ""

    def __str__(self) -> str:
        return "-".join(filter(None, (self.part.name.rpartition("/")[2], self.variant, self.data)))


@dataclass(frozen=True)
class Meeting:
    """An objective with an encoder, and views that fit both."""

    objective: Case
    views: Case
    encoder: Case
    unit: Unit

    def __str__(self) -> str:
        return "-".join(map(str, (replace(self.objective, data=""), replace(self.views, data=""), self.encoder)))


@dataclass(frozen=True)
class Shown:
    """Views and an encoder that is shown them."""

    views: Case
    encoder: Case

    def __str__(self) -> str:
        return f"{self.views}-{replace(self.encoder, data='')}"


@dataclass(frozen=True)
class Subject:
    """A plugin as it describes itself, apart from all others that are installed."""

    domain: Domain
    trial: Trial
    registry: Registry

    @classmethod
    def of(cls, plugin: str) -> Subject:
        """The plugin of an entry point's module (`manyviews_sonar.plugin`)."""
        return _subject(plugin)

    def cases(self, kind: str) -> list[Case]:
        """The domain's own components of a kind, each in every form on every kind of data that it is for."""
        own = [part for part in self.registry.components(kind) if part.name.startswith(f"{self.domain.name}/")]
        return [case for part in own for case in self._cases(part)]

    def meetings(self) -> list[Meeting]:
        """Every objective, the core's too, with each encoder that it fits: on its first kind of data and on single samples."""
        encoders = [case for case in self.cases("encoder") if not case.variant and self._meets_on(case)]
        objectives = [case for part in self.registry.components("objective") for case in self._forms(part, "")]
        return [meeting for one in objectives for encoder in encoders for meeting in self._meet(one, encoder)]

    def _meets_on(self, encoder: Case) -> bool:
        kinds = self.trial.kinds(encoder.part.name)
        return encoder.data in (*kinds[:1], *self.trial.single)

    def shown(self) -> list[Shown]:
        """All views, the core's too, in every form: each with the first encoder that it suits, on every kind of data."""
        encoders = [case for case in self.cases("encoder") if not case.variant]
        views = [case for part in self.registry.components("views") for case in self._cases(part)]
        pairs = [Shown(some, encoder) for some in views for encoder in encoders if _suits(some, encoder)]
        firsts: dict[str, Shown] = {}
        for pair in pairs:
            firsts.setdefault(str(pair.views), pair)
        return list(firsts.values())

    def _cases(self, part: Component) -> list[Case]:
        return [case for data in self.trial.kinds(part.name) for case in self._forms(part, data)]

    def _forms(self, part: Component, data: str) -> list[Case]:
        plain = self._case(part, data)
        variants = self.trial.variants.get(part.name, {})
        return [plain, *(replace(plain, variant=n, parameters={**plain.parameters, **more}) for n, more in variants.items())]

    def _case(self, part: Component, data: str) -> Case:
        return Case(part, data, self.trial.parts.get(part.name, {}))

    def _meet(self, objective: Case, encoder: Case) -> Iterator[Meeting]:
        """With the first views that fit; on tokens where whole samples cannot be."""
        loss = build(objective.part, objective.parameters, key=str(objective))
        asks = facts_of(objective.part.name, "objective", loss)
        offers = facts_of(encoder.part.name, "encoder", encoder.part.load())
        known = {part.name: part for part in self.registry.components("views")}
        order = sorted(known.values(), key=lambda part: "/" not in part.name)
        views: list[Facts] = [facts_of(part.name, "views", part.load()) for part in order]
        units: tuple[Unit, ...] = ("token",) if encoder.data in self.trial.single else ("sample", "token")
        for unit in units:
            if pair := first_pair(asks, views, [offers], unit):
                shown = self._case(known[pair[0].name], encoder.data)
                chosen = {key: value for need in asks.traits for key, value in CHOSEN.get(need, {}).items()}
                meant = replace(encoder, parameters={**encoder.parameters, **chosen})
                yield Meeting(replace(objective, data=encoder.data), shown, meant, unit)
                return


def _suits(views: Case, encoder: Case) -> bool:
    facts = facts_of(views.part.name, "views", views.part.load())
    offers: frozenset[Trait] = encoder.part.load().offers
    return views.data == encoder.data and asked_by(facts) <= offers


@cache
def _subject(plugin: str) -> Subject:
    described: Domain = importlib.import_module(plugin).manyviews_domain()
    found = Registry([Installed(described.name, plugin, plugin, "0", ())], Selection(""))
    (state,) = found.plugins
    assert state.state is State.OK, f"{plugin} is {state.state}: {state.reason}"
    assert described.trial is not None, f"{plugin}: its Domain names no `trial`: the small data that the kit runs it on"
    module, _, attribute = described.trial.partition(":")
    trial = getattr(importlib.import_module(module), attribute)
    assert isinstance(trial, Trial), f"Domain.trial: {described.trial} is {trial!r:.60}, not a manyviews.testing.trial.Trial"
    return Subject(described, trial, found)
