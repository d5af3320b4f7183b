"""The file that says which samples training reads: written by `manyviews curate`, named as `train.keep`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from manyviews.curate.reduce import Curation
from manyviews.errors import DataError
from manyviews.source import Source


def write_keep(path: Path, found: Curation, source: Source, how: Mapping[str, Any]) -> None:
    """The samples that stay, by which measure, and of which data."""
    told = {
        "fingerprint": dict(source.fingerprint()),
        "samples": len(source),
        **how,
        "kept": found.kept.tolist(),
        "dropped": found.dropped.tolist(),
        "like": found.like.tolist(),
    }
    path.write_text(json.dumps(told) + "\n", encoding="utf-8")


def read_keep(path: str | Path, source: Source) -> Int[np.ndarray, "kept"]:
    """The samples that stay.

    Raises:
        DataError: There is no such file, it is another one's, or the data are not those that were curated.
    """
    try:
        told = json.loads(Path(path).read_text(encoding="utf-8"))
        kept, samples, fingerprint = told["kept"], told["samples"], told["fingerprint"]
    except OSError as error:
        raise DataError(f"train.keep: {path} cannot be read ({error.strerror}); write it with `manyviews curate`") from error
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"train.keep: {path} is not a file of `manyviews curate`") from error
    now = json.loads(json.dumps(dict(source.fingerprint())))
    if samples != len(source) or fingerprint != now:
        raise DataError(
            f"train.keep: {path} is of other data ({samples} samples, {fingerprint}), and these are {len(source)}, {now}\n"
            "curate them again, with the same `data` section"
        )
    return np.array(kept, dtype=np.int64)
