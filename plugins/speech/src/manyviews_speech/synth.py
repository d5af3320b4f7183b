"""Sound that is made here: for the demo, where no recordings lie at hand, and for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float

RATE = 8000


def tone(pitch: float, seconds: float, seed: int = 0, rate: int = RATE) -> Float[np.ndarray, "points"]:
    """A note of `pitch` Hz with two overtones and a little noise."""
    time = np.arange(round(seconds * rate)) / rate
    noise = 0.01 * np.random.default_rng(seed).normal(size=len(time))
    notes = [0.2 / k * np.sin(2 * np.pi * pitch * k * time) for k in (1, 2, 3)]
    made: np.ndarray = (np.sum(notes, axis=0) + noise).astype(np.float32)
    return made


def write_sounds(folder: Path, count: int = 30) -> Path:
    """Wav files of three notes by two speakers, 0.3 to 0.7 s long, and a manifest; the manifest's path."""
    rows = ["path,note,speaker,split"]
    for number in range(count):
        note, speaker = number % 3, ("ada", "bob")[number // 3 % 2]
        name = f"{speaker}-{number}.wav"
        pitch = 220 * 2 ** (note / 3) * (1.0 if speaker == "ada" else 1.1)
        soundfile.write(folder / name, tone(pitch, 0.3 + 0.4 * (number % 5) / 4, number), RATE)
        rows.append(f"{name},{'abc'[note]},{speaker},{('train', 'train', 'valid', 'test')[number // 3 % 4]}")
    (folder / "sounds.csv").write_text("\n".join(rows) + "\n")
    return folder / "sounds.csv"


INSTRUMENTS = {"flute": (0.1, 4.0), "reed": (1.5, 2.0), "string": (1.0, 9.0), "horn": (2.5, 1.0)}
"""Weight of the overtones and speed of the decay."""


def write_instruments(folder: Path, notes: int = 40) -> Path:
    """Wav files of four instruments in three octaves, with noise, and a manifest; the manifest's path."""
    rng = np.random.default_rng(0)
    rows = ["path,instrument,octave"]
    for instrument, (overtones, decay) in INSTRUMENTS.items():
        for number in range(notes):
            octave = 1 + number % 3
            pitch = 110.0 * 2 ** (octave + rng.uniform(-0.5, 0.5))
            time = np.arange(round(rng.uniform(0.3, 0.8) * RATE)) / RATE
            weights = [np.exp(-k / max(overtones * rng.uniform(0.7, 1.3), 0.05)) for k in range(6)]
            sound = sum(w * np.sin(2 * np.pi * pitch * (k + 1) * time + rng.uniform(0, 6)) for k, w in enumerate(weights))
            sound = sound * np.exp(-decay * rng.uniform(0.7, 1.4) * time) * rng.uniform(0.05, 0.3)
            noise = rng.normal(size=len(time)) * rng.uniform(0.002, 0.02)
            name = f"{instrument}-{number}.wav"
            soundfile.write(folder / name, (sound + noise).clip(-1, 1).astype(np.float32), RATE)
            rows.append(f"{name},{instrument},{octave}")
    (folder / "notes.csv").write_text("\n".join(rows) + "\n")
    return folder / "notes.csv"


NOTES = {"low": 300.0, "high": 1400.0}


def write_scenes(folder: Path, count: int = 12, seconds: float = 2.0) -> Path:
    """Recordings of noise in which high and low notes sound, but for the last, and `events.tsv` that says when; the folder."""
    rng = np.random.default_rng(0)
    rows = ["filename\tonset\toffset\tevent_label"]
    for number in range(count):
        made = 0.01 * rng.normal(size=round(seconds * RATE))
        for label, pitch in NOTES.items() if number < count - 1 else ():
            length = round(rng.uniform(0.3, 0.8), 2)
            onset = round(rng.uniform(0, seconds - length), 2)
            start = round(onset * RATE)
            note = tone(pitch, length, number)
            made[start : start + len(note)] += note[: len(made) - start]
            rows.append(f"{number}.wav\t{onset}\t{round(onset + length, 2)}\t{label}")
        soundfile.write(folder / f"{number}.wav", made.clip(-1, 1).astype(np.float32), RATE)
    (folder / "events.tsv").write_text("\n".join([*rows, f"{count - 1}.wav\t\t\t"]) + "\n")
    return folder
