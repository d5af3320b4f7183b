"""An encoder's vectors, or a finetuned net's answers, into a file: streamed, and resumed where it was killed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from manyviews.encoder import Encoder
from manyviews.errors import UserError
from manyviews.evaluate.embed import Form, check_finite, encodings, vectors
from manyviews.export.parts import Parts
from manyviews.plugins.registry import registry
from manyviews.source import Source
from manyviews.writer import About, Rows, What, Writer

Compute = Callable[[Int[np.ndarray, "samples"]], Iterator[Rows]]
"""The rows of these samples, in their order."""


def writer_for(output: Path, domain: str, what: What) -> Writer:
    """Of the domain or of the core, by the ending of the name.

    Args:
        output: The file to be written.
        domain: Whose own writers count beside the core's.
        what: The rows are.

    Raises:
        UserError: No writer of such rows has this ending, or there is no such folder.
    """
    found: dict[str, type[Writer]] = {}
    for part, cls in registry().loaded("writer"):
        if part.name.rpartition("/")[0] in ("", domain) and what in cls.holds:
            found |= dict.fromkeys(cls.suffixes, cls)
    fitting = [suffix for suffix in found if output.name.endswith(suffix)]
    if not fitting:
        known = " or ".join(sorted(found))
        raise UserError(f"--output: {output} ends in {output.suffix or 'nothing'}; name a {known} file")
    if not output.parent.is_dir():
        raise UserError(f"--output: there is no folder {output.parent}")
    writer: Writer = found[max(fitting, key=len)]()
    return writer


def export(
    compute: Compute,
    source: Source,
    writer: Writer,
    output: Path,
    *,
    what: What,
    of: Mapping[str, Any],
    width: int,
    names: tuple[str, ...] = (),
) -> About:
    """Compute what is not there yet, then write all of it.

    Args:
        compute: Gives rows.
        source: Where the samples come from.
        writer: Checked.
        output: The file.
        what: The rows are.
        of: What makes them these and no others, beside the data: encoder, form.
        width: Of a row, were there no samples to tell.
        names: Of classes.

    Raises:
        UserError: The output cannot be written; what was computed is kept, so that the same command goes on.
    """
    told = {"what": what, **of, "fingerprint": source.fingerprint(), "samples": len(source)}
    parts = Parts(output.with_name(f".{output.name}.rows"), told)
    beside = output.with_name(f".part-{output.name}")
    try:
        parts.open()
        parts.keep(compute(np.arange(parts.done, len(source))))
        rows, rest = parts.shape()
        known = About(source, what, rows, rest if rows else (width,), names)
        _remove(beside)
        writer.write(iter(parts), known, beside)
        if output.is_dir():
            _remove(output)
        beside.replace(output)  # a process that is killed leaves no half file under this name
    except OSError as error:
        raise UserError(
            f"--output: {output} could not be written ({error.strerror or error}); nothing was left there.\n"
            "What was computed is kept beside it: the same command goes on from there."
        ) from error
    finally:
        _remove(beside)
        if not parts.files:
            parts.remove()
    parts.remove()
    return known


def embeddings(encoder: Encoder, source: Source, form: Form, batch_size: int) -> Compute:
    """The vectors of samples, or of their tokens."""

    def compute(samples: Int[np.ndarray, "samples"]) -> Iterator[Rows]:
        for some, layout, encoding in encodings(encoder, source, samples, batch_size, None):
            values = vectors(encoding, form)
            check_finite(values, some, encoding, form)
            counts = encoding.lengths.tensor.cpu().numpy() if form == "tokens" else np.ones(len(some), dtype=np.int64)
            yield Rows(some, counts, values, layout.grid if form == "tokens" else None)

    return compute


def _remove(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def weights_of(manifest: Mapping[str, Any]) -> str:
    """What tells one encoder from another: the hash of its weights in a checkpoint's manifest."""
    return str(manifest["files"]["weights.safetensors"])
