"""Embeddings of samples, streamed through an encoder.

Everything is shown (nothing hidden), in eval mode. The encoder comes back as it was, module by module, and so does
torch's global generator: training goes on as if nothing had been asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import nn

from manyviews.encoder import Encoder
from manyviews.encoding import Encoding
from manyviews.errors import DataError
from manyviews.layout import Layout
from manyviews.objective import Unit
from manyviews.source import Source
from manyviews.view import View

Form = Literal["pooled", "flat", "tokens"]
"""One vector a sample (pooled, or its tokens end to end), or one a token."""


class RaggedError(DataError):
    """Samples with different numbers of tokens have no flat form."""


def embed(
    encoder: Encoder,
    source: Source,
    index: Int[np.ndarray, "samples"],
    *,
    batch_size: int = 256,
    unit: Unit = "sample",
    form: Literal["pooled", "flat"] = "pooled",
    device: torch.device | None = None,
) -> Float[np.ndarray, "units width"]:
    """The embeddings of samples, or with `unit="token"` of their tokens, samples back to back; float32.

    Args:
        form: Of a sample: `pooled`, or `flat`, its tokens end to end (samples of equally many tokens only).
        device: Where the encoder is; None: where its parameters are.

    Raises:
        RaggedError: `flat`, and the samples differ in their number of tokens.
        DataError: the encoder gave NaN or infinity; names the samples.
    """
    chosen = unit_form(unit, form)
    return embed_forms(encoder, source, index, forms=(chosen,), batch_size=batch_size, device=device)[chosen]


def unit_form(unit: Unit, form: Literal["pooled", "flat"]) -> Form:
    """The form of a unit: tokens have but one."""
    if unit == "sample":
        return form
    if form == "flat":
        raise DataError(
            "form 'flat' puts the tokens of a sample end to end, and the recipe's unit is the token: leave `form` out"
        )
    return "tokens"


def embed_forms(
    encoder: Encoder,
    source: Source,
    index: Int[np.ndarray, "samples"],
    *,
    forms: Sequence[Form],
    batch_size: int = 256,
    device: torch.device | None = None,
) -> dict[Form, Float[np.ndarray, "units width"]]:
    """Several forms from one pass through the encoder; see `embed`."""
    if not len(index):
        return {form: _nothing(encoder, form) for form in forms}
    parts: dict[Form, list[np.ndarray]] = {form: [] for form in forms}
    for samples, _, encoding in encodings(encoder, source, index, batch_size, device):
        for form in forms:
            part = vectors(encoding, form)
            check_finite(part, samples, encoding, form)
            if form == "flat" and parts[form] and part.shape[1] != parts[form][0].shape[1]:
                raise _ragged()
            parts[form].append(part)
    return {form: np.concatenate(arrays) for form, arrays in parts.items()}


def _nothing(encoder: Encoder, form: Form) -> Float[np.ndarray, "none width"]:
    """The embedding of no samples: (0, width). How wide tokens end to end are, only a sample could tell."""
    if form == "flat":
        raise DataError("no samples to embed, so nobody can say how wide their form 'flat' is; use form 'pooled'")
    return np.zeros((0, encoder.pooled_width if form == "pooled" else encoder.width), dtype=np.float32)


def token_counts(
    encoder: Encoder, source: Source, *, batch_size: int = 256, device: torch.device | None = None
) -> Int[np.ndarray, "samples"]:
    """The number of tokens of every sample of the source. Reads each sample once and encodes none."""
    device = device or device_of(encoder)
    batches = _batches(np.arange(len(source)), batch_size)
    counts = [encoder.layout(source.batch(samples).to(device)).lengths.tensor.cpu().numpy() for samples in batches]
    return np.concatenate(counts)


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Eval mode, no gradients, torch's global generators kept; every sub-module gets its own mode back.

    No gradients rather than inference mode: a table that an encoder caches in here must serve the next training step.
    """
    modes = [(part, part.training) for part in module.modules()]
    devices = [part.device for part in module.parameters() if part.device.type == "cuda"][:1]
    module.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices):
            yield
    finally:
        for part, mode in modes:
            part.training = mode


def device_of(module: nn.Module) -> torch.device:
    """The device of its first parameter; the CPU where it has none."""
    return next((parameter.device for parameter in module.parameters()), torch.device("cpu"))


def _batches(index: Int[np.ndarray, "samples"], batch_size: int) -> Iterator[Int[np.ndarray, "batch"]]:
    return (index[start : start + batch_size] for start in range(0, len(index), batch_size))


def encodings(
    encoder: Encoder,
    source: Source,
    index: Int[np.ndarray, "samples"],
    batch_size: int,
    device: torch.device | None,
    *,
    layers: bool = False,
) -> Iterator[tuple[Int[np.ndarray, "batch"], Layout, Encoding]]:
    """The samples, a batch at a time, how they fall into tokens and what the encoder makes of them when all is shown.

    `layers`: what each of its layers makes of them too, of an encoder that offers that.
    """
    device = device or device_of(encoder)
    for samples in _batches(index, batch_size):
        with evaluating(encoder):
            batch = source.batch(samples).to(device)
            layout = encoder.layout(batch)
            encoding = encoder(View(batch, layout, layers=layers))
        yield samples, layout, encoding


def vectors(encoding: Encoding, form: Form) -> Float[np.ndarray, "units width"]:
    """What an encoding holds, in this form, on the host."""
    vectors = encoding.pooled if form == "pooled" else encoding.tokens
    if form == "flat":
        if encoding.lengths.each is None:
            raise _ragged()
        vectors = rearrange(vectors, "(samples tokens) width -> samples (tokens width)", tokens=encoding.lengths.each)
    return vectors.float().cpu().numpy()


def check_finite(part: np.ndarray, samples: Int[np.ndarray, "batch"], encoding: Encoding, form: Form) -> None:
    """Refuse vectors with NaN or infinity; names the samples."""
    bad = np.flatnonzero(~np.isfinite(part).all(1))
    if not len(bad):
        return
    owners = encoding.lengths.owners().cpu().numpy() if form == "tokens" else np.arange(len(samples))
    names = np.unique(samples[owners[bad]])
    listed = ", ".join(str(name) for name in names[:5]) + (", …" if len(names) > 5 else "")
    raise DataError(
        f"the embedding of {len(names)} samples holds NaN or infinity: samples {listed}\n"
        "either these samples hold such values, or the encoder's training diverged"
    )


def _ragged() -> RaggedError:
    return RaggedError("form 'flat' needs samples of equally many tokens, and these differ: use form 'pooled'")
