"""Do the parts of a recipe fit together? Decided from what they say of themselves, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from manyviews.errors import RecipeError
from manyviews.objective import Unit
from manyviews.plugins.registry import Registry, registry
from manyviews.traits import ENGINE_GIVES, Trait

OF_ENCODERS = frozenset({Trait.TOKEN_TARGETS, Trait.TOKEN_CLASSES, Trait.HIDES_TOKENS})
"""Traits that an encoder offers; the others are a view generator's, but for those that the engine gives."""


@dataclass(frozen=True)
class Facts:
    """A part by name and what it needs (an objective), gives (a view generator) or offers (an encoder)."""

    name: str
    traits: frozenset[Trait]


def required(needs: frozenset[Trait], gives: frozenset[Trait], unit: Unit) -> frozenset[Trait]:
    """All that must be given for an objective with these needs, and views that give this, to run on this unit.

    Tokens of several views can be compared only where they stand for the same things; tokens can be withheld only from an
    encoder that can be shown a part.
    """
    wanted = set(needs)
    if unit == "token" and Trait.SEVERAL_VIEWS in needs:
        wanted.add(Trait.ALIGNED_TOKENS)
    if Trait.HIDDEN_TOKENS in gives:
        wanted.add(Trait.HIDES_TOKENS)
    return frozenset(wanted)


def lacking(needs: frozenset[Trait], gives: frozenset[Trait], offers: frozenset[Trait], unit: Unit) -> frozenset[Trait]:
    """What nobody gives; empty where the parts fit."""
    return required(needs, gives, unit) - gives - offers - ENGINE_GIVES


def check_fit(objective: Facts, views: Facts, encoder: Facts, *, unit: Unit, domain: str, key: str = "objective") -> None:
    """Refuse parts that do not fit together.

    Args:
        objective: Its name and needs (the instance's).
        views: Its name and what it gives.
        encoder: Its name and what it offers.
        unit: What the recipe compares.
        domain: Whose components may be suggested, beside the core's.
        key: Where the objective stands in the recipe.

    Raises:
        RecipeError: Names the parts, what is lacking and the parts that would fit.
    """
    lack = lacking(objective.traits, views.traits, encoder.traits, unit)
    if not lack:
        return
    needing = f"objective `{objective.name}`"
    if lack == {Trait.HIDES_TOKENS} and Trait.HIDES_TOKENS not in objective.traits:
        needing = f"view generator `{views.name}`"
    on_tokens = " on `unit: token`" if Trait.ALIGNED_TOKENS in lack - objective.traits else ""
    message = f"{key}: {needing} needs{on_tokens} {said(lack)}; {_culprits(lack, views, encoder)}"
    raise RecipeError(f"{message}\n  {_remedy(objective, views, encoder, unit, domain)}", key=key)


def said(traits: Iterable[Trait]) -> str:
    """The traits as an enumeration."""
    return " and ".join(trait.value for trait in sorted(traits, key=list(Trait).index))


def _culprits(lack: frozenset[Trait], views: Facts, encoder: Facts) -> str:
    parts = []
    if lack - OF_ENCODERS:
        parts.append(f"views `{views.name}` are not that")
    if lack & OF_ENCODERS:
        parts.append(f"encoder `{encoder.name}` is not that")
    return " and ".join(parts)


def _remedy(objective: Facts, views: Facts, encoder: Facts, unit: Unit, domain: str) -> str:
    """The cheapest change that fits: other views, another encoder, both, another objective."""
    found = registry()
    all_views, all_encoders = _known(found, "views", domain), _known(found, "encoder", domain)
    needs = objective.traits
    if fit := [other.name for other in all_views if not lacking(needs, other.traits, encoder.traits, unit)]:
        return f"Views that fit: {', '.join(fit)}"
    if fit := [other.name for other in all_encoders if not lacking(needs, views.traits, other.traits, unit)]:
        return f"Encoders that fit: {', '.join(fit)}"
    if pair := first_pair(needs, all_views, all_encoders, unit):
        return f"Views and encoder that fit: {pair[0].name} with {pair[1].name}"
    others = _known(found, "objective", domain)
    if fit := [other.name for other in others if not lacking(other.traits, views.traits, encoder.traits, unit)]:
        return f"Objectives that fit these: {', '.join(fit)}"
    return "Nothing installed fits; `manyviews matrix` shows what does"


def first_pair(
    needs: frozenset[Trait], views: Iterable[Facts], encoders: Iterable[Facts], unit: Unit
) -> tuple[Facts, Facts] | None:
    """Views and an encoder with which an objective of these needs runs; None where there are none."""
    pairs = ((some, encoder) for some in views for encoder in list(encoders))
    return next((pair for pair in pairs if not lacking(needs, pair[0].traits, pair[1].traits, unit)), None)


def known_facts(found: Registry, kind: str) -> list[Facts]:
    """What each installed component of a kind says of itself as a class."""
    return [Facts(part.name, traits_of(cls, kind)) for part, cls in found.loaded(kind)]


def traits_of(cls: type[Any], kind: str) -> frozenset[Trait]:
    """`needs`, `gives` or `offers` of a component's class; no other kind has any."""
    traits: frozenset[Trait]
    match kind:
        case "objective":
            traits = cls.needs
        case "views":
            traits = cls.gives
        case "encoder":
            traits = cls.offers
        case _:
            traits = frozenset()
    return traits


def _known(found: Registry, kind: str, domain: str) -> list[Facts]:
    return [facts for facts in known_facts(found, kind) if facts.name.rpartition("/")[0] in ("", domain)]
