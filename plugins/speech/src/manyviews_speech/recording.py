"""One sound file: what it says of itself, and slices of it, read without decoding the rest.

libsndfile tells some faults and keeps silent about others: of a truncated WAV, MP3 or OGG it gives what is there as if
that were all. So the length that a file's header claims is kept at the scan, and every slice is checked against it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float

from manyviews.errors import DataError

SUFFIXES = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aiff", ".aif", ".au", ".w64", ".rf64", ".caf", ".sph", ".nist"}
)
"""Files that a folder is searched for."""
LARGEST_PAGE = 27 + 255 + 255 * 255
"""Bytes of an Ogg page at most."""
WHOLE_NUMBERS = frozenset({"PCM_U8", "PCM_16", "PCM_24", "PCM_32"})
"""Codings in a WAV whose samples are all finite and all there, if the file is as long as its header claims."""
UNKNOWN_SIZE = (0, 0xFFFFFFFF)
"""What streaming writers put where a WAV's length belongs."""


@dataclass(frozen=True)
class Recording:
    """A sound file as its header describes it."""

    path: Path
    frames: int
    """Samples of each channel."""
    rate: int
    channels: int
    subtype: str = ""
    """Coding of a sample (`PCM_16`, `PCM_U8`, `VORBIS`); empty where the header was not opened."""


def scan(path: Path) -> Recording:
    """Read the header alone.

    Raises:
        DataError: no file, no sound file, nothing in it, or less than its header claims.
    """
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty (0 bytes)")
    try:
        info = soundfile.info(str(path))
    except soundfile.LibsndfileError as error:
        raise DataError(f"{path}: cannot be read as sound: {error.error_string.rstrip('.')}") from error
    if not _ends(path):
        raise DataError(f"{path}: truncated: its last Ogg page is broken off or not the stream's end")
    if info.frames <= 0:
        raise DataError(f"{path}: the file holds no samples")
    claimed = _claimed_bytes(path)
    if claimed is not None and claimed > path.stat().st_size:
        raise DataError(
            f"{path}: truncated: its header claims {claimed:,} bytes, the file has {path.stat().st_size:,} "
            f"({info.frames:,} samples)"
        )
    return Recording(path, info.frames, info.samplerate, info.channels, info.subtype)


def _ends(path: Path) -> bool:
    """Whether an Ogg file's last page is whole and marked as the end; True of other formats (RFC 3533, section 6)."""
    with path.open("rb") as file:
        if file.read(4) != b"OggS":
            return True
        size = file.seek(0, 2)
        file.seek(max(size - LARGEST_PAGE, 0))
        tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    if len(page) < 27 or len(page) < 27 + page[26]:
        return False
    return bool(page[5] & 4) and len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])


def _claimed_bytes(path: Path) -> int | None:
    """Where a WAV's samples end by its header; None for other formats and for streams of unknown length."""
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return None
        while len(chunk := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", chunk)
            if name == b"data":
                return None if size in UNKNOWN_SIZE else file.tell() + size
            file.seek(size + size % 2, 1)
    return None


def decode(recording: Recording) -> None:
    """Decode all of it, a minute at a time, where its header and size do not tell already whether that will do.

    Raises:
        DataError: as `read`.
    """
    if recording.subtype in WHOLE_NUMBERS and _claimed_bytes(recording.path) is not None:
        return
    step = 60 * recording.rate
    for start in range(0, recording.frames, step):
        read(recording, start, min(start + step, recording.frames))


def read(recording: Recording, start: int = 0, stop: int | None = None) -> Float[np.ndarray, "points channels"]:
    """Samples `start` to `stop` (without) between -1 and 1, decoded alone.

    Raises:
        DataError: the file is gone, shorter than its scan said, or holds NaN or infinity.
    """
    stop = recording.frames if stop is None else stop
    try:
        with soundfile.SoundFile(str(recording.path)) as file:
            if file.samplerate != recording.rate:
                raise DataError(
                    f"{recording.path}: its rate is {file.samplerate:,} Hz, expected {recording.rate:,} Hz as listed; "
                    "correct the list, or leave `rate` out of it"
                )
            if start:
                file.seek(start)
            samples = file.read(stop - start, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        gone = "" if recording.path.is_file() else "; the file is gone since it was listed"
        raise DataError(f"{recording.path}: cannot be read as sound{gone or f': {error}'}") from error
    if len(samples) < stop - start:
        could = f"{start + len(samples):,} samples could be read, {recording.frames:,} are"
        if recording.subtype:
            raise DataError(f"{recording.path}: truncated: {could} expected")
        raise DataError(f"{recording.path}: {could} listed; correct the list, or leave `frames` out of it")
    if not np.isfinite(samples).all():
        place = int(np.flatnonzero(~np.isfinite(samples).all(1))[0])
        raise DataError(f"{recording.path}: sample {start + place:,} is NaN or infinite")
    return samples
