"""What the fits of a finetuning have found: a file in each fit's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from manyviews.errors import UserError
from manyviews.track.run_file import PARTS

RESULT = "result.json"


def read_result(folder: Path) -> dict[str, Any] | None:
    """A finished fit's result; None where it has not finished."""
    path = folder / RESULT
    found: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    return found


def best_fit(study: Path) -> Path:
    """Run folder of the pretrained fit with the most labels, the first of its draws and seeds.

    Raises:
        UserError: No fit has finished.
    """
    results = [(read_result(folder), folder) for folder in sorted((study / PARTS).glob("*"))]
    done = [(result, folder) for result, folder in results if result is not None]
    if not done:
        raise UserError(f"{study}: no fit has finished; go on with: manyviews finetune --resume {study}")
    return max(done, key=lambda each: (each[0]["arm"] == "pretrained", each[0]["labelled"], -each[0]["seed"]))[1]
