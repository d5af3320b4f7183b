"""Do the parts of a recipe fit together? Decided from what they say of themselves, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from manyviews.errors import RecipeError
from manyviews.objective import Unit
from manyviews.plugins.registry import Registry, registry
from manyviews.traits import ENGINE_GIVES, Trait

OF_ENCODERS = frozenset(
    {
        Trait.TOKEN_TARGETS,
        Trait.TOKEN_CLASSES,
        Trait.HIDES_TOKENS,
        Trait.PLACED_TOKENS,
        Trait.UNPLACED,
        Trait.OWN_TOKENS,
        Trait.LAYERS,
        Trait.LOCAL_TOKENS,
        Trait.CAUSAL,
        Trait.FEATURE_MAPS,
    }
)
"""Traits that an encoder offers; the others are a view generator's, but for those that the engine gives."""
NONE: frozenset[Trait] = frozenset()


@dataclass(frozen=True)
class Facts:
    """What a part says of itself."""

    name: str
    traits: frozenset[Trait]
    """What an objective needs, a view generator gives, an encoder offers."""
    needs: frozenset[Trait] = NONE
    """What a view generator needs of the encoder."""
    target: type | None = None
    """Class of the pretext target that an objective asks for, that a view generator gives."""


def asked_of(objective: Facts, unit: Unit) -> frozenset[Trait]:
    """What an objective needs on this unit: tokens of several views can be compared only where they are aligned."""
    aligned = {Trait.ALIGNED_TOKENS} if unit == "token" and Trait.SEVERAL_VIEWS in objective.traits else NONE
    return objective.traits | aligned


def asked_by(views: Facts) -> frozenset[Trait]:
    """What views need of an encoder: tokens can be withheld only from one that can be shown a part."""
    return views.needs | ({Trait.HIDES_TOKENS} if Trait.HIDDEN_TOKENS in views.traits else NONE)


def lacking(objective: Facts, views: Facts, encoder: Facts, unit: Unit) -> frozenset[Trait]:
    """What is needed and not given; empty where the parts fit."""
    given = views.traits | encoder.traits | ENGINE_GIVES
    if objective.target is not None and not issubclass(views.target or object, objective.target):
        given -= {Trait.PRETEXT_TARGET}  # the answer to another question
    return (asked_of(objective, unit) | asked_by(views)) - given


def check_fit(objective: Facts, views: Facts, encoder: Facts, *, unit: Unit, domain: str, key: str = "objective") -> None:
    """Refuse parts that do not fit together.

    Args:
        objective: Its name and needs (the instance's).
        views: Its name, what it gives and what it needs.
        encoder: Its name and what it offers.
        unit: What the recipe compares.
        domain: Whose components may be suggested, beside the core's.
        key: Where the objective stands in the recipe.

    Raises:
        RecipeError: Names the parts, what is lacking and the parts that would fit.
    """
    lack = lacking(objective, views, encoder, unit)
    if not lack:
        return
    message = f"{key}: {_complaint(lack, objective, views, encoder, unit)}"
    raise RecipeError(f"{message}\n  {_remedy(objective, views, encoder, unit, domain)}", key=key)


def _complaint(lack: frozenset[Trait], objective: Facts, views: Facts, encoder: Facts, unit: Unit) -> str:
    """Who needs what, and who does not give it."""
    of_objective = lack & asked_of(objective, unit)
    needing = f"`{objective.name}`" if of_objective else f"view generator `{views.name}`"
    on_tokens = " on `unit: token`" if of_objective - objective.traits else ""
    wanted = of_objective or lack
    blamed = [f"views `{views.name}`"] if wanted - OF_ENCODERS else []
    blamed += [f"encoder `{encoder.name}`"] if wanted & OF_ENCODERS else []
    question = f" ({objective.target.__name__})" if objective.target and Trait.PRETEXT_TARGET in wanted else ""
    return f"{needing} needs{on_tokens} {said(wanted)}{question}; not given by {' and '.join(blamed)}"


def said(traits: Iterable[Trait]) -> str:
    """The traits as an enumeration."""
    return " and ".join(trait.value for trait in sorted(traits, key=list(Trait).index))


def _remedy(objective: Facts, views: Facts, encoder: Facts, unit: Unit, domain: str) -> str:
    """The cheapest change that fits: other views, another encoder, both, another objective."""

    def known(kind: str) -> list[Facts]:
        return [facts for facts in known_facts(registry(), kind) if facts.name.rpartition("/")[0] in ("", domain)]

    all_views, all_encoders = known("views"), known("encoder")
    if fit := [other.name for other in all_views if not lacking(objective, other, encoder, unit)]:
        return f"Views that fit: {', '.join(fit)}"
    if fit := [other.name for other in all_encoders if not lacking(objective, views, other, unit)]:
        return f"Encoders that fit: {', '.join(fit)}"
    if pair := first_pair(objective, all_views, all_encoders, unit):
        return f"Views and encoder that fit: {pair[0].name} with {pair[1].name}"
    if fit := [other.name for other in known("objective") if not lacking(other, views, encoder, unit)]:
        return f"Objectives that fit these: {', '.join(fit)}"
    return "Nothing installed fits; `manyviews matrix` shows what does"


def first_pair(objective: Facts, views: Sequence[Facts], encoders: Sequence[Facts], unit: Unit) -> tuple[Facts, Facts] | None:
    """Views and an encoder with which an objective runs; None where there are none.

    Views that give least beyond what is asked come first: a pretext task's third view is no view to contrast.
    """
    modest = sorted(views, key=lambda some: len(some.traits - asked_of(objective, unit)))
    pairs = ((some, encoder) for some in modest for encoder in encoders)
    return next(((some, encoder) for some, encoder in pairs if not lacking(objective, some, encoder, unit)), None)


def known_facts(found: Registry, kind: str) -> list[Facts]:
    """What each installed component of a kind says of itself as a class, that is with default parameters."""
    return [facts_of(part.name, kind, cls) for part, cls in found.loaded(kind)]


def facts_of(name: str, kind: str, part: Any) -> Facts:
    """What an objective, a view generator or an encoder, class or instance, says of itself; no other kind says anything."""
    match kind:
        case "objective":
            return Facts(name, part.needs, target=part.target)
        case "views":
            return Facts(name, part.gives, part.needs, part.target)
        case "encoder":
            return Facts(name, part.offers)
        case _:
            return Facts(name, NONE)
