"""Frames of whole samples, for tasks that say when something happens: whatever the recipe's unit is, these judge frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int

from manyviews.encoder import Encoder
from manyviews.errors import DataError
from manyviews.evaluate.embed import encodings
from manyviews.evaluate.task import Embedded, Timed
from manyviews.evaluate.units import Limits
from manyviews.events import Events
from manyviews.source import Source, Split
from manyviews.traits import Trait


def draw_timed(source: Source, limits: Limits, seed: int) -> Int[np.ndarray, "samples"]:
    """Samples whose events are known, of each split in `limits` so many at most, ascending."""
    events, generator = events_of(source), np.random.default_rng(seed)
    splits = np.where(events.known, source.splits(), "")
    named: tuple[Split, ...] = ("train", "valid", "test")
    drawn = [generator.permutation(np.flatnonzero(splits == s))[: limits[s]] for s in named if s in limits]
    return np.sort(np.concatenate(drawn))


def events_of(source: Source) -> Events:
    """The events of a source.

    Raises:
        DataError: It has none.
    """
    events = source.events()
    if events is None:
        raise DataError(f"{type(source).__name__} has no events: name them in `data` (data.events=…)")
    return events


def embed_timed(
    encoder: Encoder,
    source: Source,
    samples: Int[np.ndarray, "samples"],
    *,
    batch_size: int,
    device: torch.device | None = None,
    layers: bool = False,
) -> Embedded:
    """What an encoder makes of the frames of these samples; with `layers`, what each of its layers does, where it tells."""
    require_moments(encoder)
    layers = layers and Trait.LAYERS in encoder.offers
    parts: list[list[np.ndarray]] = []
    counts = []
    for _, layout, encoding in encodings(encoder, source, samples, batch_size, device, layers=layers):
        each = [replace(encoding, tokens=tokens) for tokens in encoding.layers] if layers else [encoding]
        moments = [encoder.moments(one, layout) for one in each]
        parts.append([frames.float().cpu().numpy() for frames, _ in moments])
        counts.append(moments[0][1].tensor.cpu().numpy())
    *below, x = (np.concatenate(part) for part in zip(*parts, strict=True))
    data = embedded(source, samples, x, np.concatenate(counts))
    return replace(data, layers=(*below, x)) if below else data


def require_moments(encoder: Encoder) -> None:
    """Refuse an encoder whose tokens do not follow one another in time."""
    if Trait.MOMENTS not in encoder.offers:
        raise DataError(
            f"events need {Trait.MOMENTS.value}; {type(encoder).__name__} is none: "
            "leave tasks that need events out of `evaluate`"
        )


def raw_timed(source: Source, samples: Int[np.ndarray, "samples"], *, batch_size: int) -> Embedded:
    """The plain features of the frames of these samples."""
    read = [source.frame_features(samples[start : start + batch_size]) for start in range(0, len(samples), batch_size)]
    return embedded(source, samples, np.concatenate([x for x, _ in read]), np.concatenate([counts for _, counts in read]))


def embedded(
    source: Source,
    samples: Int[np.ndarray, "samples"],
    x: Float[np.ndarray, "frames width"],
    counts: Int[np.ndarray, "samples"],
) -> Embedded:
    """Frames, with what is known of their samples."""
    groups, splits = source.groups(), source.splits()[samples]
    timed = Timed(counts, events_of(source).of(samples), splits, None if groups is None else groups[samples])
    return Embedded(x, np.repeat(splits, counts), timed=timed)
