"""The features of a batch, for views that alter them."""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from manyviews.errors import UserError
from manyviews.lengths import Lengths
from manyviews_speech.batch import AudioBatch
from manyviews_speech.frontend import Frontend
from manyviews_speech.spec import AudioSpec


def features_of(batch: AudioBatch, spec: AudioSpec) -> tuple[Float[Tensor, "frames channels"], Lengths]:
    """Computed where they are not there yet.

    Raises:
        UserError: The data have none.
    """
    batch = featured(batch, spec)
    assert batch.features is not None
    assert batch.frames is not None
    return batch.features, batch.frames


def featured(batch: AudioBatch, spec: AudioSpec) -> AudioBatch:
    """The batch with its features; see `features_of`."""
    if spec.features is None:
        raise UserError("these views alter features, and the data have none (`data.features: null`); leave that key out")
    return batch if batch.features is not None else frontend_of(spec, batch.wave.device)(batch)


def partner_of(batch: AudioBatch) -> AudioBatch:
    """The partners of the clips.

    Raises:
        UserError: The source was not asked for any.
    """
    if batch.others is None:
        raise UserError(
            "views.partner: the batches hold no partners; set `data.partner: speaker` (with `data.speaker`) or `neighbour`"
        )
    return batch.others


@lru_cache(maxsize=4)
def frontend_of(spec: AudioSpec, device: torch.device) -> Frontend:
    """The features' maker for a spec on a device, made once."""
    return Frontend.of(spec).to(device)
