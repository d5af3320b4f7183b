"""Units as an encoder sees them in several views: what tells, without labels, whether it knows them again.

The views are the recipe's own, drawn with a seed of their own, so that every look and every encoder is judged on the same.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int

from manyviews.batch import OwnBatch
from manyviews.encoder import Encoder
from manyviews.errors import DataError
from manyviews.evaluate.embed import device_of, evaluating
from manyviews.layout import Layout
from manyviews.objective import Unit
from manyviews.source import Source
from manyviews.traits import Trait
from manyviews.view import View, ViewGenerator

MOST_DRAWS = 64
"""Of a generator that gives fewer views than are asked for."""


def embed_views(
    encoder: Encoder,
    views: ViewGenerator,
    source: Source,
    index: Int[np.ndarray, "samples"],
    count: int,
    *,
    unit: Unit = "sample",
    batch_size: int = 256,
    seed: int = 0,
) -> Float[np.ndarray, "views units width"]:
    """The units of samples in `count` views each, float32.

    Raises:
        DataError: The unit is the token, and the views' tokens are not aligned.
    """
    check_views(views, unit)
    views.bind(encoder.layout)
    device, generator = device_of(encoder), torch.Generator(device_of(encoder))
    parts = []
    for number, start in enumerate(range(0, len(index), batch_size)):
        generator.manual_seed(seed * 1_000_003 + number)
        batch = source.batch(index[start : start + batch_size]).to(device)
        with evaluating(encoder):
            seen = _several(views, batch, encoder.layout(batch), count, generator)
            parts.append(np.stack([_units(encoder, view, unit) for view in seen]))
    return np.concatenate(parts, axis=1)


def check_views(views: ViewGenerator, unit: Unit) -> None:
    """Refuse views in which no token could be known again.

    Raises:
        DataError: The unit is the token, and the views' tokens are not aligned.
    """
    if unit == "token" and Trait.ALIGNED_TOKENS not in views.gives:
        raise DataError(
            f"{type(views).__name__}: tokens of its views do not stand for the same things, so none can be known again;\n"
            "leave the tasks that compare views (lidar, alignment_uniformity) out, or take views whose tokens are aligned"
        )


def _several(views: ViewGenerator, batch: OwnBatch, layout: Layout, count: int, generator: torch.Generator) -> list[View]:
    """Global views (a teacher's input; local ones show a part) of as many draws as it takes."""
    seen: list[View] = []
    for _ in range(MOST_DRAWS):
        seen += [view for view in views(batch, layout, generator) if view.role == "global"]
        if len(seen) >= count:
            return seen[:count]
    raise DataError(f"{type(views).__name__} gives no global views, and this task compares them: leave it out")


def _units(encoder: Encoder, view: View, unit: Unit) -> Float[np.ndarray, "units width"]:
    encoding = encoder(view)
    if unit == "token" and encoding.present is not None:
        raise DataError("tokens are dropped from the views, so that no token can be known again: leave the task out")
    vectors: torch.Tensor = encoding.pooled if unit == "sample" else encoding.tokens
    return vectors.float().cpu().numpy()
