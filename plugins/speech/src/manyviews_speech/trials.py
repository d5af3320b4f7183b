"""Pairs of clips for verification: a list of trials as speaker-recognition corpora have it, or pairs drawn by speaker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int, Shaped

from manyviews.errors import DataError
from manyviews.source import Pairs
from manyviews_speech.listing import Item

SAME, OTHER = frozenset({"1", "target", "same"}), frozenset({"0", "nontarget", "different"})
"""What lists call a pair of one speaker, and one of two."""


def draw_pairs(speakers: Int[np.ndarray, "clips"], splits: Shaped[np.ndarray, "clips"], count: int, seed: int) -> Pairs:
    """`count` pairs in each split, one half of one speaker and the other of two; both clips of a pair in the same split.

    Raises:
        DataError: nobody speaks twice, or all clips are of one speaker.
    """
    parts: list[tuple[np.ndarray, np.ndarray, bool, str]] = []
    for number, split in enumerate(("train", "valid", "test")):
        rows = np.flatnonzero((splits == split) & (speakers >= 0))
        rng = np.random.default_rng([seed, number])
        left, right = rng.choice(rows, (2, 20 * count)) if len(rows) > 1 else np.empty((2, 0), np.int64)
        once = np.unique(np.stack([np.minimum(left, right), np.maximum(left, right)]), axis=1)
        once = once[:, once[0] != once[1]]
        alike = speakers[once[0]] == speakers[once[1]]
        for kind in (True, False):
            of_kind = rng.permutation(once[:, alike == kind].T)[: count // 2]
            parts.append((of_kind[:, 0], of_kind[:, 1], kind, split))
    left, right = (np.concatenate([part[side] for part in parts]).astype(np.int64) for side in (0, 1))
    same = np.concatenate([np.full(len(part[0]), part[2]) for part in parts])
    if len(np.unique(same)) < 2:
        raise DataError(
            "data.pairs: pairs of one speaker and of two are needed; there is no speaker with two clips, or only one"
        )
    return Pairs("speakers", left, right, same, np.concatenate([np.full(len(part[0]), part[3]) for part in parts]))


def read_trials(path: Path, items: Sequence[Item], owners: Int[np.ndarray, "clips"], folder: Path) -> Pairs:
    """A list of trials, one a line: `1 left right` or `left right target`; all of them test.

    Args:
        items: The sounds, which a trial names by their path (relative to the list, or to `folder`) or by their utterance.
        owners: The item of each clip; an item cut into several clips is judged by its first.
        folder: That paths of the manifest are relative to.

    Raises:
        DataError: a line that is no trial, or that names a sound that is not there.
    """
    first = {int(item): clip for clip, item in reversed(list(enumerate(owners.tolist())))}
    known: dict[str, int] = {}
    for number, item in enumerate(items):
        if number in first:
            known |= dict.fromkeys((str(item.path.resolve()), item.columns.get("utterance", "")), first[number])
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            rows.append(_trial(line.split(), f"{path}, line {number}", known, (path.parent, folder)))
    if not rows:
        raise DataError(f"{path}: the list of trials is empty")
    left, right, same = (np.array(column) for column in zip(*rows, strict=True))
    return Pairs(path.stem, left, right, same.astype(bool), np.full(len(rows), "test"))


def _trial(words: list[str], where: str, known: dict[str, int], folders: tuple[Path, Path]) -> tuple[int, int, bool]:
    said = SAME | OTHER
    if len(words) == 3 and words[0] in said:
        answer, names = words[0], words[1:]
    elif len(words) == 3 and words[2] in said:
        answer, names = words[2], words[:2]
    else:
        raise DataError(f"{where}: expected `1 left right` or `left right target`, got {' '.join(words)!r}")
    places = []
    for name in names:
        candidates = [name, *(str((folder / name).resolve()) for folder in folders)]
        place = next((known[candidate] for candidate in candidates if candidate in known), None)
        if place is None:
            raise DataError(f"{where}: there is no sound {name!r} in the data")
        places.append(place)
    return places[0], places[1], answer in SAME
