"""`manyviews curate`: sketches of the training samples, or their embeddings, and what is redundant among them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from manyviews.curate.measures import MEASURES
from manyviews.curate.reduce import Curation, reduce
from manyviews.engine.device import Device
from manyviews.engine.load import load_trained
from manyviews.engine.parts import build_source
from manyviews.errors import UserError
from manyviews.evaluate.embed import embed
from manyviews.recipe.model import Recipe
from manyviews.source import Source

BATCH = 256
Within = Literal["all", "group"]


def curate(
    recipe: Recipe,
    measure: str = "dhash",
    threshold: float | None = None,
    within: Within = "all",
    run: str | Path | None = None,
    device: Device = "auto",
) -> tuple[Source, Curation]:
    """The source of a recipe, and which of its training samples stay.

    Args:
        measure: `dhash`, `structure`, `information` or `embedding`.
        threshold: Up to which two samples are redundant; None: the measure's own.
        within: Compare all samples, or those of a group (a patient, a scene) among themselves.
        run: For `embedding`: the run whose encoder gives the vectors; None: the source's plain features.

    Raises:
        UserError: There is no such measure, or the source has no pictures for it.
    """
    if measure not in MEASURES:
        raise UserError(f"measure {measure!r} is none of {', '.join(MEASURES)}")
    kind, source = MEASURES[measure], build_source(recipe)
    samples = source.subset("train").numbers()
    groups = source.groups()
    if within == "group" and groups is None:
        raise UserError(f"{type(source).__name__} knows no groups; compare all samples: --within all")
    starts = range(0, len(samples), BATCH)
    if kind.pictures:
        sketches = np.concatenate([source.sketches(samples[at : at + BATCH]) for at in starts])
    elif run is not None:
        trained = load_trained(run, device=device)
        sketches = embed(trained.encoder, source, samples, batch_size=BATCH)
    else:
        sketches = np.concatenate([source.features(samples[at : at + BATCH]) for at in starts])
    limit = kind.threshold if threshold is None else threshold
    own = groups[samples] if within == "group" and groups is not None else None
    return source, reduce(kind(sketches), samples, limit, own)
