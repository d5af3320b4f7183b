"""What `speech_accuracy.py` compares: small encoders of half-second clips, each with an objective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LOGMEL = {"rate": 8000, "chunk": None, "trim": 30.0, "features": {"kind": "logmel", "channels": 40, "norm": "level"}}
MFCC = {"rate": 8000, "chunk": None, "trim": 30.0, "features": {"kind": "mfcc", "channels": 20}}
FRAMES = {"name": "transformer", "width": 128, "depth": 3, "heads": 4, "stack": 2, "pool": "quarters"}
CONV = {"name": "conv", "width": 128, "depth": 3, "kernel": 5, "stride": 2, "pool": "quarters"}
TRAIN = {"epochs": 30, "batch_size": 128, "batch_total": None, "log_every": 200}
MASK = {"name": "span_mask", "start": 0.1, "span": 4}
NEIGHBOUR = {**LOGMEL, "partner": "neighbour", "neighbours": 5}
CROPS = {"name": "segments", "global_crop": [0.8, 1.0], "mixup": 0.0, "warp": 0.0}
CROSS = {
    "recipe": "speech/byol_a",
    "data": NEIGHBOUR,
    "encoder": CONV,
    "views": {**CROPS, "partner": True},
    "objective": {"name": "vicreg", "hidden": 512, "out": 512},
    "rounds": 2,
    "train": TRAIN,
}

CANDIDATES: Mapping[str, Mapping[str, Any]] = {
    "neighbours": CROSS,
    "neighbours_whole": {**CROSS, "views": {**CROPS, "global_crop": [1.0, 1.0], "partner": True}},
    "neighbours_noise": {**CROSS, "views": {**CROPS, "partner": True, "floor": [30.0, 60.0], "warp": 0.05}},
    "neighbours_mfcc": {**CROSS, "data": {**NEIGHBOUR, **MFCC}},
    "neighbours_long": {**CROSS, "rounds": 3, "encoder": {**CONV, "width": 192}, "train": {**TRAIN, "epochs": 40}},
    "neighbours_frames": {**CROSS, "encoder": {**FRAMES, "dropout": 0.1}},
    "crops": {**CROSS, "data": LOGMEL, "views": {**CROPS, "global_crop": [0.6, 1.0], "floor": [30.0, 60.0]}, "rounds": 1},
    "tera": {"recipe": "speech/tera", "data": LOGMEL, "encoder": {**FRAMES, "stack": 1, "norm": "post"}, "train": TRAIN},
    "hubert": {"recipe": "speech/hubert_frames", "data": LOGMEL, "encoder": FRAMES, "views": MASK, "train": TRAIN},
}
