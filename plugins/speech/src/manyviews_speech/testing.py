"""Small sounds of every kind, and the sizes at which the package's parts are tried on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from manyviews.testing.trial import Trial


def clips(folder: Path) -> dict[str, Any]:
    """Notes of several lengths by two speakers, with a manifest that says which; four clusters where a recipe asks for some."""
    from manyviews_speech.synth import write_sounds

    path = write_sounds(folder)
    return {"data": {"source": "audio", "path": str(path), "rate": 8000, "target": "note", "speaker": "speaker", "clusters": 4}}


def equal(folder: Path) -> dict[str, Any]:
    """Pieces of one length, cut out of recordings in a folder."""
    import soundfile

    from manyviews_speech.synth import RATE, tone

    for number in range(6):
        soundfile.write(folder / f"{number}.wav", tone(200.0 + 50 * number, 2.0, number), RATE)
    return {"data": {"source": "audio", "path": str(folder), "rate": RATE, "chunk": 0.5, "features_when": "needed"}}


def cepstra(folder: Path) -> dict[str, Any]:
    """The same clips described by MFCC."""
    return {"data": {**clips(folder)["data"], "features": {"kind": "mfcc", "channels": 16}}}


def scenes(folder: Path) -> dict[str, Any]:
    """Recordings in which notes sound, and when."""
    from manyviews_speech.synth import RATE, write_scenes

    path = write_scenes(folder, count=8, seconds=1.0)
    return {"data": {"source": "audio", "path": str(path), "rate": RATE, "events": str(path / "events.tsv")}}


SMALL = {"width": 16, "depth": 1, "heads": 2}
TRIAL = Trial(
    data={"clips": clips, "equal": equal, "cepstra": cepstra, "scenes": scenes},
    parts={
        "speech/conformer": {**SMALL, "kernel": 5},
        "speech/conv": {"width": 16, "depth": 1, "kernel": 3},
        "speech/patches": {**SMALL, "frames": 8},
        "speech/transformer": SMALL,
        "speech/waveform": {**SMALL, "depth": 2, "channels": 12, "position_kernel": 8},
        "speech/wav2vec2": {"codes": 8, "code_width": 6, "out": 5, "negatives": 7},
        "speech/w2v_bert": {"layer": 1, "codes": 8, "code_width": 6, "out": 5, "negatives": 7},
        "jepa": SMALL,
        "masked_reconstruction": SMALL,
        "masked_codes": {**SMALL, "codes": 6, "out": 8},
        "random_codes": {**SMALL, "codes": 12, "code_width": 4},
        "dino": {"hidden": 32, "bottleneck": 16, "out": 64},
    },
    variants={
        "speech/transformer": {"dropping": {"hide": "drop", "pool": "quarters"}, "post": {"norm": "post", "pool": "mean_std"}},
        "speech/patches": {"replacing": {"hide": "replace"}},
        "speech/segments": {
            "locals": {"locals": 1},
            "altered": {"tilt": 3.0, "floor": [30.0, 60.0], "warp": 0.0, "mixup": 0.0, "bands": 8, "tempo": 0.2},
        },
        "speech/waves": {
            "rooms": {"mix": [5.0, 10.0], "reverb": [0.1, 0.3]},
            "speeds": {"speeds": [9, 11], "colour": 1.0},
        },
        "speech/tera": {"loud": {"magnitude": 0.5}},
    },
    on={
        "speech/patches": ("clips", "equal", "cepstra", "scenes"),
        "events": ("scenes",),
    },
    exceptions={
        "speech/waveform": {
            "what_is_hidden_does_not_reach_it": "neighbouring tokens share 80 of the 400 samples that each sees, as published "
            "for wav2vec 2.0"
        },
    },
)
