"""What is wrong with sounds, said before anything is trained on them: every file, and what a header does not tell."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from manyviews.errors import DataError
from manyviews_speech.listing import Item, listing, part_of
from manyviews_speech.recording import SUFFIXES, Recording, decode, read, scan

LISTS = frozenset({".csv", ".tsv", ".jsonl", ".scp"})
SECONDS = 60.0
"""Of a recording that are listened to: the first minute."""
CLIPPED = 1e-3
"""Share of samples at full scale from which a recording is called clipped."""
SILENT = 1e-4
"""Largest amplitude of what is called silence: -80 dB."""
FRAME = 0.025
"""Seconds of a frame of features as they are by default."""
LOOKED_AT = 1 << 16
"""Bytes of a list that are searched for names of sound files."""
NAMED = re.compile(rf"({'|'.join(re.escape(suffix) for suffix in sorted(SUFFIXES))})[\s\"',;|]", re.IGNORECASE)
"""The end of a sound file's name in a list of any form."""


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
    """A CSV may be anybody's table: it is ours where it names sound files, also where it cannot be read as a manifest."""
    with path.open("rb") as file:
        return path.suffix.lower() == ".scp" or NAMED.search(file.read(LOOKED_AT).decode(errors="replace") + "\n") is not None


def _item(item: Item) -> list[str]:
    try:
        recording = scan(item.path)
        _check_listed(item, recording)
        start, stop = part_of(item, recording)
        decode(recording)
        heard = read(recording, start, min(stop, start + round(SECONDS * recording.rate)))
    except DataError as error:
        return [" ".join(item.told(error).splitlines())]
    return [f"{item.path}: {finding}" for finding in _findings(recording, heard, (stop - start) / recording.rate)]


def _check_listed(item: Item, recording: Recording) -> None:
    """What a manifest says of a file, which runs take without opening it."""
    told, found = (item.frames, item.rate), (recording.frames, recording.rate)
    if None not in told and told != found:
        raise DataError(
            f"{item.where}: lists {item.frames:,} samples at {item.rate:,} Hz of {item.path}, which has {recording.frames:,} "
            f"at {recording.rate:,} Hz; correct it, or leave `frames` and `rate` out"
        )


def _findings(recording: Recording, heard: np.ndarray, seconds: float) -> list[str]:
    """What can be read and may not be meant."""
    loudest = float(np.abs(heard).max())
    found = []
    if seconds < FRAME:
        found.append(f"{1000 * seconds:.3g} ms long, less than a frame of features ({1000 * FRAME:g} ms); leave it out")
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
