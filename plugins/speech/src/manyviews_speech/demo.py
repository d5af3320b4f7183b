"""The demo on sound: spoken digits where they lie at hand, else notes of made-up instruments."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from manyviews.demo import Demo
from manyviews_speech.synth import write_instruments


def prepare(folder: Path) -> Demo:
    """Spoken digits from `$MANYVIEWS_DATA/speech`, one speaker held out, if they are there; else notes written as wav files."""
    digits = Path(os.environ.get("MANYVIEWS_DATA", "")) / "speech" / "fsdd.tsv"
    if os.environ.get("MANYVIEWS_DATA") and digits.is_file():
        data = {"path": str(digits), "target": "label", "hold_out": {"speaker": "theo"}}
        return _demo(f"Spoken digits, 3,000 clips, speaker theo held out: {digits}", data, epochs=2)
    manifest = write_instruments(folder)
    data = {"path": str(manifest), "target": "instrument", "hold_out": {"octave": "3"}}
    return _demo(f"Notes of 4 made-up instruments in 3 octaves, the highest held out: {manifest}", data, epochs=8)


def _demo(title: str, data: dict[str, Any], epochs: int) -> Demo:
    return Demo(
        "speech/byol_a",
        title,
        {
            "data": {**data, "rate": 8000, "features": {"kind": "logmel", "channels": 64}},
            "encoder": {"width": 64, "depth": 2, "pool": "quarters"},
            "train": {"epochs": epochs, "threads": 1, "watch_every": 50},
            "evaluate": [{"task": "linear_probe", "every": 100}, {"task": "effective_rank"}, {"task": "spread"}],
        },
    )
