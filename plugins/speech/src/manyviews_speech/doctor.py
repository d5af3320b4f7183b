"""What is wrong with sounds, said before anything is trained on them: every file, and what a header does not tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from manyviews.errors import DataError
from manyviews_speech.listing import Item, listing
from manyviews_speech.recording import SUFFIXES, Recording, decode, read, scan

LISTS = frozenset({".csv", ".tsv", ".jsonl", ".scp"})
SECONDS = 60.0
"""Of a recording that are listened to: the first minute."""
CLIPPED = 1e-3
"""Share of samples at full scale from which a recording is called clipped."""
SILENT = 1e-4
"""Largest amplitude of what is called silence: -80 dB."""


def examine(path: Path) -> list[str] | None:
    """One line for each finding; an empty list where all is well; None where `path` holds no sound."""
    if not _is_ours(path):
        return None
    try:
        items = listing(path)
    except DataError as error:
        return [_line(error)]
    return [line for item in items for line in _item(item)]


def _is_ours(path: Path) -> bool:
    if path.is_dir():
        return (path / "wav.scp").is_file() or any(file.suffix.lower() in SUFFIXES for file in path.rglob("*"))
    suffix = path.suffix.lower()
    return suffix in SUFFIXES or (suffix in LISTS and _lists_sound(path))


def _lists_sound(path: Path) -> bool:
    """A CSV may be anybody's table: it is ours where its rows name sound files."""
    try:
        return any(item.path.suffix.lower() in SUFFIXES for item in listing(path))
    except (DataError, OSError, UnicodeDecodeError):
        return path.suffix.lower() == ".scp"


def _item(item: Item) -> list[str]:
    try:
        recording = scan(item.path)
        decode(recording)
        heard = read(recording, 0, min(recording.frames, round(SECONDS * recording.rate)))
    except DataError as error:
        return [_line(error)]
    return [f"{item.path}: {finding}" for finding in _findings(recording, heard)]


def _findings(recording: Recording, heard: np.ndarray) -> list[str]:
    """What can be read and may not be meant."""
    loudest = float(np.abs(heard).max())
    found = []
    if loudest < SILENT:
        found.append("silence")
    elif (share := float((np.abs(heard) >= 0.999).mean())) > CLIPPED:
        found.append(f"clipped: {share:.1%} of its samples are at full scale")
    if recording.channels == 2 and float(np.abs(heard.mean(1)).max()) < 0.05 * loudest:
        found.append("its two channels cancel out in their mean; read it with `data.mono: first`")
    if recording.subtype in {"PCM_U8", "PCM_S8"}:
        found.append("8 bits a sample: quiet sound is noise there")
    return found


def _line(error: DataError) -> str:
    return " ".join(str(error).splitlines())
