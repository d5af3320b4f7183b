"""The demo on sound: spoken digits where they lie at hand, else notes of made-up instruments."""

from __future__ import annotations

import os
from pathlib import Path

from manyviews.demo import Demo
from manyviews_speech.synth import write_instruments


def prepare(folder: Path) -> Demo:
    """Spoken digits from `$MANYVIEWS_DATA/speech`, one speaker held out, if they are there; else notes written as wav files."""
    digits = Path(os.environ.get("MANYVIEWS_DATA", "")) / "speech" / "fsdd.tsv"
    if os.environ.get("MANYVIEWS_DATA") and digits.is_file():
        return _digits(digits)
    return _instruments(write_instruments(folder))


def _digits(manifest: Path) -> Demo:
    """Clips agree with their neighbours in other voices."""
    return Demo(
        "speech/neighbours",
        f"Spoken digits, 3,000 clips, speaker theo held out: {manifest}",
        {
            "data": {"path": str(manifest), "target": "label", "hold_out": {"speaker": "theo"}, "rate": 8000},
            "train": {"epochs": 8, "threads": 1, "watch_every": 100},
            "evaluate": [{"task": "linear_probe", "every": 200}, {"task": "effective_rank"}, {"task": "spread"}],
        },
    )


def _instruments(manifest: Path) -> Demo:
    """Parts of a note agree, heard at other pitches and through noise: so an octave that no label was seen of is recognised."""
    views = {"name": "segments", "global_crop": [0.7, 1.0], "mixup": 0.0, "warp": 0.4, "floor": [30.0, 60.0]}
    return Demo(
        "speech/byol_a",
        f"Notes of 4 made-up instruments in 3 octaves, the middle one held out: {manifest}",
        {
            "data": {
                "path": str(manifest),
                "target": "instrument",
                "hold_out": {"octave": "2"},
                "rate": 8000,
                "features": {"kind": "logmel", "channels": 64},
            },
            "encoder": {"width": 64, "depth": 2},
            "views": views,
            "objective": {"name": "vicreg", "hidden": 256},
            "train": {"epochs": 60, "batch_size": 32, "threads": 1, "watch_every": 50},
            "evaluate": [{"task": "linear_probe", "every": 100}, {"task": "effective_rank"}, {"task": "spread"}],
        },
    )
