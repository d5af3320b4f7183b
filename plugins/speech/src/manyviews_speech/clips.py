"""Clips: the samples of a source of sound. A recording, the part that a manifest names, or a piece of a long one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import gcd

import numpy as np
import torch
from jaxtyping import Float

from manyviews.errors import DataError
from manyviews_speech.listing import Item, part_of
from manyviews_speech.recording import Recording, decode, read, scan
from manyviews_speech.spec import AudioSpec
from manyviews_speech.torchaudio_cpu import load

TRIM_WINDOW, TRIM_HOP = 0.025, 0.01
"""Seconds over which `trim` takes loudness."""
LOUDNESS = 0.1
"""Root mean square that `level: rms` brings a clip to."""
SCANNERS = 8
"""Threads that open headers: the wait is the disk's."""


@dataclass(frozen=True)
class Clip:
    """A piece of a recording, in its own samples."""

    recording: Recording
    start: int
    stop: int
    item: int
    """Which item of the list it is of."""

    def points(self, rate: int) -> int:
        """Samples at another rate, as torchaudio's resampling makes them."""
        common = gcd(rate, self.recording.rate)
        new, old = rate // common, self.recording.rate // common
        return -(-new * (self.stop - self.start) // old)


def find_clips(
    items: Sequence[Item], rate: int | None, chunk: float | None, shortest: Callable[[int], int], mono: str, skip: bool
) -> tuple[list[Clip], list[str]]:
    """The clips of all items, and why items were left out.

    Args:
        rate: Rate that all are brought to; None: that of the first recording.
        chunk: Seconds after which a recording is cut.
        shortest: Fewest samples of a clip, at a rate.
        mono: What becomes of several channels.
        skip: Leave out what cannot be used, rather than raise. All is decoded once for that, but for WAVs of whole numbers:
            a FLAC, MP3 or Ogg file that is broken in the middle, or a NaN, would else end a run that is on its way.
    """
    with ThreadPoolExecutor(SCANNERS) as threads:
        scanned = list(threads.map(partial(_scanned, thoroughly=skip), items))
    clips, skipped = [], []
    for number, (item, found) in enumerate(zip(items, scanned, strict=True)):
        try:
            if isinstance(found, DataError):
                raise found
            rate = rate or found.rate
            clips += _cut(found, item, number, rate, chunk, shortest(rate), mono)
        except DataError as error:
            if not skip:
                remedy = "mend it, or leave it out of the data; runs do with `data.on_error: skip`"
                raise DataError(f"{item.told(error)}\n{remedy}") from error
            skipped.append(item.told(error))
    if not clips:
        raise DataError(f"no usable sound: all {len(items):,} files were left out; the first: {skipped[0]}")
    return clips, skipped


def _scanned(item: Item, *, thoroughly: bool) -> Recording | DataError:
    try:
        recording = _described(item)
        if thoroughly:
            decode(recording)
    except DataError as error:
        return error
    return recording


def _described(item: Item) -> Recording:
    """By the manifest where it says enough, so that no file is opened; by the file's header."""
    if item.frames is None or item.rate is None:
        return scan(item.path)
    if not item.path.is_file():
        raise DataError(f"{item.path}: there is no such file")
    return Recording(item.path, item.frames, item.rate, 0)


def _cut(recording: Recording, item: Item, number: int, rate: int, chunk: float | None, shortest: int, mono: str) -> list[Clip]:
    if mono == "refuse" and recording.channels > 1:
        raise DataError(f"{recording.path}: {recording.channels} channels, and `data.mono: refuse`; choose `mean` or `first`")
    start, stop = part_of(item, recording)
    step = stop - start if chunk is None else max(round(chunk * recording.rate), 1)
    pieces = [Clip(recording, at, min(at + step, stop), number) for at in range(start, stop, step)]
    kept = [piece for piece in pieces if piece.points(rate) >= shortest]
    if not kept:
        raise DataError(
            f"{recording.path}: {stop - start:,} samples at {recording.rate:,} Hz is shorter than one frame of features "
            f"({shortest:,} samples at {rate:,} Hz)"
        )
    return kept


def empty_bands(clips: Sequence[Clip], spec: AudioSpec) -> tuple[str, ...]:
    """A sentence where all sound ends below the highest frequency that is looked at, as telephone speech read at 16 kHz does:
    those bands hold what resampling leaves, which `norm: data` then makes as loud as the rest."""
    most, high = max(clip.recording.rate for clip in clips), None if spec.features is None else spec.features.high
    if (spec.rate if high is None else 2 * high) <= most:
        return ()
    return (
        f"all files are at {most:,} Hz or less and are read at {spec.rate:,} Hz, so that nothing lies above "
        f"{most / 2:,.0f} Hz; `data.rate={most}` reads them as they are",
    )


def wave_of(clip: Clip, spec: AudioSpec, shortest: int) -> Float[torch.Tensor, "points"]:
    """A clip as the spec wants it: one channel, its rate, its level; trimmed to no fewer than `shortest` samples."""
    samples = read(clip.recording, clip.start, clip.stop)
    if spec.mono == "refuse" and samples.shape[1] > 1:  # a manifest's row says nothing of channels
        raise DataError(
            f"{clip.recording.path}: {samples.shape[1]} channels, and `data.mono: refuse`; choose `mean` or `first`"
        )
    mono = samples[:, 0] if spec.mono == "first" else samples.mean(1)
    return prepared(torch.from_numpy(np.ascontiguousarray(mono)), clip.recording.rate, spec, shortest)


def prepared(wave: Float[torch.Tensor, "given"], rate: int, spec: AudioSpec, shortest: int) -> Float[torch.Tensor, "points"]:
    """A waveform of any rate at the spec's rate and level, without silence at its ends where the spec says so."""
    if rate != spec.rate:
        wave = load().functional.resample(wave, rate, spec.rate)
    if spec.trim is not None:
        wave = trimmed(wave, spec.rate, spec.trim, shortest)
    if spec.level == "rms":
        loudness = wave.square().mean().sqrt()
        wave = wave * (LOUDNESS / loudness) if loudness > 1e-8 else wave
    return wave


def trimmed(wave: Float[torch.Tensor, "given"], rate: int, decibels: float, shortest: int) -> Float[torch.Tensor, "points"]:
    """From the first to the last 25 ms that are no more than `decibels` below the loudest; `shortest` samples at least."""
    size, hop = max(round(TRIM_WINDOW * rate), 1), max(round(TRIM_HOP * rate), 1)
    if len(wave) <= max(size, shortest):
        return wave
    power = wave.square().unfold(0, size, hop).mean(1)
    loud = (power >= power.max() * 10 ** (-decibels / 10)).nonzero()
    start, stop = int(loud[0]) * hop, int(loud[-1]) * hop + size
    lacking = max(shortest - (stop - start), 0)
    start = max(min(start - lacking // 2, len(wave) - shortest), 0)
    return wave[start : max(stop, start + shortest)]
