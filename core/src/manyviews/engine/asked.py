"""The finished runs that a run asks: are they, when it is resumed, still what they were?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from manyviews.engine.model import Model
from manyviews.errors import UserError
from manyviews.frozen import Frozen


def asked(model: Model) -> Iterator[tuple[str, Frozen]]:
    """Where in the recipe a finished run is named, and its encoder."""
    for term in model.each_term:
        for key, part in ((term.key, term.objective), (term.views_key, term.views)):
            if part.frozen is not None:
                yield f"{key}.run", part.frozen


def weights_asked(model: Model) -> dict[str, str]:
    """What a resumed run must find again: of each finished run that is asked, the hash of its weights."""
    return {key: frozen.weights for key, frozen in asked(model)}


def refuse_changed(model: Model, before: Mapping[str, str]) -> None:
    """Raises UserError where a finished run has trained on since this one asked it first: it would answer otherwise now."""
    for key, frozen in asked(model):
        if before.get(key, frozen.weights) != frozen.weights:
            raise UserError(
                f"{key}: {frozen.run} is not what it was when this run began: its weights have changed, and so would what is "
                "learnt from it; put that checkpoint back, or begin a new run",
                key=key,
            )
