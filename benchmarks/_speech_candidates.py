"""What `speech_accuracy.py` compares: small encoders of half-second clips, each with an objective; and encoders of speakers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LEVEL = {"trim": 30.0, "features": {"kind": "logmel", "channels": 40, "norm": "level"}}
PLAIN = {"features": {"kind": "logmel", "channels": 40}}
CLIPS = {"rate": 8000, "chunk": None}
FRAMES = {"name": "transformer", "width": 128, "depth": 3, "heads": 4, "stack": 2, "pool": "quarters"}
CONV = {"name": "conv", "width": 128, "depth": 3, "kernel": 5, "stride": 2, "pool": "quarters"}
TRAIN = {"epochs": 30, "batch_size": 256, "batch_total": None, "log_every": 200}
NEIGHBOUR = {"partner": "neighbour", "neighbours": 5}
CROPS = {"name": "segments", "global_crop": [0.8, 1.0], "mixup": 0.0, "warp": 0.0, "partner": True}
CROSS = {
    "recipe": "speech/byol_a",
    "data": {**CLIPS, **LEVEL, **NEIGHBOUR},
    "encoder": CONV,
    "views": CROPS,
    "objective": {"name": "vicreg", "hidden": 512, "out": 512},
    "optim": {"lr": 7.0e-4},
    "rounds": 2,
    "train": TRAIN,
}

VOICED = {"throat": 0.15, "tilt": 5.0}
"""How speakers differ in frequency: the length of their vocal tract, and their microphone."""
SPOKEN = {**CROPS, **VOICED, "tempo": 0.2}
HUBERT = {
    "recipe": "speech/hubert_frames",
    "data": {**CLIPS, **LEVEL},
    "encoder": FRAMES,
    "views": {"name": "span_mask", "start": 0.1, "span": 4},
    "objective": {"fit_tokens": 10_000},
    "train": {**TRAIN, "batch_size": 128},
}
WITHHELD = {"name": "frame_views", "globals": 1, "locals": 1, "mixup": 0.0, "warp": 0.0, "hidden": 0.34, "span": 4}
"""As much as `span_mask` withholds; what is asked for is the clip unaltered. The whole view is asked nothing."""

WORDS: Mapping[str, Mapping[str, Any]] = {
    "neighbours": CROSS,
    "neighbours_tilt": {**CROSS, "views": {**CROPS, "tilt": 7.0}},
    "neighbours_spoken": {**CROSS, "views": SPOKEN},
    "neighbours_plain": {**CROSS, "data": {**CLIPS, **PLAIN, **NEIGHBOUR}, "views": SPOKEN},
    "hubert": HUBERT,
    "hubert_spoken": {**HUBERT, "views": {**WITHHELD, **VOICED}},
}
"""For digits by speakers never heard."""

VOICE = {"name": "conv", "width": 128, "depth": 3, "kernel": 5, "stride": 2, "pool": "mean_std"}
VOICES: Mapping[str, Mapping[str, Any]] = {
    "speaker_dino": {
        "recipe": "speech/speaker_dino",
        "data": {**CLIPS, "features": {"kind": "logmel", "channels": 40}},
        "encoder": VOICE,
        "train": {**TRAIN, "epochs": 20},
    },
}
"""For who speaks, nobody having been named."""

CANDIDATES = {**WORDS, **VOICES}
