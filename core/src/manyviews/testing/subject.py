"""The plugin that a kit tests: its parts, in the forms that its trial names. Nothing is read or built here."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from manyviews.domain import Domain
from manyviews.errors import PluginError
from manyviews.objective import Unit
from manyviews.plugins.component import Component
from manyviews.plugins.discover import Selection
from manyviews.plugins.installed import Installed
from manyviews.plugins.match import Facts, asked_by, facts_of, first_pair
from manyviews.plugins.registry import Registry
from manyviews.plugins.schema import build, takes_spec
from manyviews.plugins.state import State
from manyviews.testing.trial import Overrides, Trial
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


def parts_of(case: object) -> tuple[str, ...]:
    """Full names of the components that a test is about, the one in question first; or of a recipe, of a kind of data."""
    match case:
        case str():
            return (case,)
        case Component() as part:
            return (part.name,)
        case Case(part=part):
            return (part.name,)
        case Meeting(objective=objective, views=views, encoder=encoder):
            return (objective.part.name, encoder.part.name, views.part.name)
        case Shown(views=views, encoder=encoder):
            return (views.part.name, encoder.part.name)
    return ()


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
        """Every objective, in every form, with an encoder and views that fit: on the first kind of data and on single samples.

        The domain's own objectives meet each of its encoders. The core's take the encoders in turn: what they ask of an
        encoder is what its own kit tests.
        """
        encoders = [case for case in self.cases("encoder") if not case.variant]
        objectives = [case for part in self.registry.components("objective") for case in self._forms(part, "")]
        found = []
        for turn, objective in enumerate(objectives):
            meant = [case for case in encoders if case.data in self.trial.kinds(objective.part.name)]
            for among in (_firsts(meant), [case for case in meant if case.data in self.trial.single]):
                fitting = [meeting for encoder in among for meeting in self._meet(objective, encoder)]
                own = "/" in objective.part.name
                found += fitting if own else fitting[turn % len(fitting) :][:1] if fitting else []
        return list({str(meeting): meeting for meeting in found}.values())

    def shown(self) -> list[Shown]:
        """All views in every form, each with the first encoder it suits: on every kind of data, the core's on the first."""
        encoders = [case for case in self.cases("encoder") if not case.variant]
        views = [case for part in self.registry.components("views") for case in self._cases(part)]
        views = [case for case in views if "/" in case.part.name or case.data == next(iter(self.trial.data))]
        pairs = [Shown(some, encoder) for some in views for encoder in encoders if _suits(some, encoder)]
        firsts: dict[str, Shown] = {}
        for pair in pairs:
            firsts.setdefault(str(pair.views), pair)
        return list(firsts.values())

    def _cases(self, part: Component) -> list[Case]:
        return [case for data in self.trial.kinds(part.name) for case in self._forms(part, data)]

    def _forms(self, part: Component, data: str) -> list[Case]:
        plain = self._case(part, data)
        own: Mapping[str, Overrides] = part.load().forms if part.kind == "objective" else {}
        variants = {**own, **self.trial.variants.get(part.name, {})}
        return [plain, *(replace(plain, variant=n, parameters={**plain.parameters, **more}) for n, more in variants.items())]

    def _case(self, part: Component, data: str) -> Case:
        return Case(part, data, self.trial.small(part.name))

    def _meet(self, objective: Case, encoder: Case) -> Iterator[Meeting]:
        """With the first views that fit; on tokens where whole samples cannot be."""
        asks = self._facts(objective)
        offers = facts_of(encoder.part.name, "encoder", encoder.part.load())
        views = [
            replace(case, data=encoder.data) for case in self._all_views() if encoder.data in self.trial.kinds(case.part.name)
        ]
        facts = [self._facts(case) for case in views]
        units: tuple[Unit, ...] = ("token",) if encoder.data in self.trial.single else ("sample", "token")
        for unit in units:
            if pair := first_pair(asks, facts, [offers], unit):
                chosen = {key: value for need in asks.traits for key, value in CHOSEN.get(need, {}).items()}
                meant = replace(encoder, parameters={**encoder.parameters, **chosen})
                yield Meeting(replace(objective, data=encoder.data), views[facts.index(pair[0])], meant, unit)
                return

    def _all_views(self) -> list[Case]:
        """The domain's own first, as the matrix has them."""
        parts = sorted(self.registry.components("views"), key=lambda part: "/" not in part.name)
        return [case for part in parts for case in self._forms(part, "")]

    def _facts(self, case: Case) -> Facts:
        """What it says of itself: as an instance, whose parameters may matter, where it needs nothing of the data."""
        cls = case.part.load()
        made = cls if takes_spec(cls) else build(case.part, case.parameters, key=str(case))
        return facts_of(case.part.name, case.part.kind, made)


def _firsts(encoders: list[Case]) -> list[Case]:
    """Each encoder on the first kind of data that is left for it."""
    found: dict[str, Case] = {}
    for case in encoders:
        found.setdefault(case.part.name, case)
    return list(found.values())


def _suits(views: Case, encoder: Case) -> bool:
    facts = facts_of(views.part.name, "views", views.part.load())
    offers: frozenset[Trait] = encoder.part.load().offers
    return views.data == encoder.data and asked_by(facts) <= offers


@cache
def _subject(plugin: str) -> Subject:
    described: Domain = importlib.import_module(plugin).manyviews_domain()
    found = Registry([Installed(described.name, plugin, plugin, "0", ())], Selection(""))
    (state,) = found.plugins
    if state.state is not State.OK:
        raise PluginError(f"{plugin} is {state.state}: {state.reason}")
    return Subject(described, _trial(plugin, described.trial), found)


def _trial(plugin: str, place: str | None) -> Trial:
    if place is None:
        raise PluginError(f"{plugin}: its Domain names no `trial`: the small data that the kit runs it on")
    module, _, attribute = place.partition(":")
    try:
        trial = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise PluginError(f"{plugin}: Domain.trial is {place}, which cannot be imported: {error}") from error
    if not isinstance(trial, Trial):
        raise PluginError(f"{plugin}: Domain.trial is {trial!r:.60}; write a manyviews.testing.trial.Trial in {place}")
    return trial
