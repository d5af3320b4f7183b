"""Read every volume of a data set once: check it, bring it onto the grid asked for, measure it, and store it in chunks.

What was stored is found again by the files' paths, sizes and times and by how they were treated, so that nothing stale is read
(MONAI's PersistentDataset looks at the items and not at the transforms) and a second start reads nothing.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float, Integer, Shaped

from manyviews.errors import DataError
from manyviews_medical.case import Case, Image
from manyviews_medical.grid import Grid, resampled, turned
from manyviews_medical.reading.read import read_image, read_label
from manyviews_medical.reading.scan import Scan
from manyviews_medical.store import Stored, known, write

VERSION = 2
"""Of what is stored."""
QUANTILES = np.concatenate([np.arange(0, 2, 0.1), np.arange(2, 98, 1), np.arange(98, 100.05, 0.1)])
"""Percent."""
SAMPLED = 2**20
"""Voxels that quantiles are taken of."""
POINTS = 64
"""Places of each class that are remembered."""
AIR = -900.0
"""A volume with voxels below this is taken for CT (air is -1000 Hounsfield units) where nothing says what it is."""

Kept = TypeVar("Kept")


@dataclass(frozen=True)
class Treatment:
    """How a volume is brought onto the grid that encoders see."""

    spacing: tuple[float, float, float] | None
    orientation: str | None
    fourth: str
    slices: bool


@dataclass(frozen=True)
class Volume:
    """A case, stored."""

    case: Case
    image: Stored
    label: Stored | None
    mask: Stored | None
    patient: str

    @property
    def modality(self) -> str:
        return str(self.image.about["modality"])

    @property
    def original(self) -> Grid:
        """The grid of the file."""
        about = self.image.about["original"]
        return Grid(tuple(about["shape"]), tuple(map(tuple, about["affine"])))

    @property
    def grid(self) -> Grid:
        """The grid that it was stored on."""
        return Grid(self.image.shape, tuple(map(tuple, self.image.about["affine"])))

    def value_at(self, channel: int, percent: float) -> float:
        """A percentile of a channel, in stored numbers."""
        return float(np.interp(percent, QUANTILES, self.image.about["quantiles"][channel]))


def prepare_all(cases: Sequence[Case], how: Treatment, folder: Path, *, skip: bool) -> tuple[list[Volume], list[str]]:
    """All cases, by threads: unpacking releases the interpreter's lock. With `skip`, bad ones are left out and told of.

    Raises:
        DataError: Without `skip`, the first bad case; with it, that all are bad.
    """
    made, told = attempted(lambda case: prepare(case, how, folder), cases, skip=skip)
    give_back()
    if not made:
        raise DataError(f"none of the {len(cases)} volumes can be used; the first: {told[0]}")
    channels = {volume.image.channels for volume in made}
    if len(channels) > 1:
        counts = {volume.image.channels: volume.case.name for volume in made}
        raise DataError(
            f"volumes differ in their number of channels: {', '.join(f'{n} ({name})' for n, name in sorted(counts.items()))}"
        )
    return made, told


def give_back() -> None:
    """Memory that readers' threads have freed, to the system: the C library (glibc) keeps it for threads that are no more."""
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):  # another C library
        return


def attempted(work: Callable[[Case], Kept], cases: Sequence[Case], *, skip: bool) -> tuple[list[Kept], list[str]]:
    """What `work` makes of each case in their order, and a line for each that it refuses."""

    def attempt(case: Case) -> Kept | DataError:
        try:
            return work(case)
        except DataError as error:
            return error

    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        results = list(pool.map(attempt, cases))
    errors = [result for result in results if isinstance(result, DataError)]
    if errors and not skip:
        more = (
            f"\n  and {len(errors) - 1} more: `manyviews doctor`; or leave them out with `data.on_error=skip`"
            if len(errors) > 1
            else ""
        )
        raise DataError(f"{errors[0]}{more}") if more and len(str(errors[0]).splitlines()) < 3 else errors[0]
    return [result for result in results if not isinstance(result, DataError)], [
        " ".join(str(error).split()) for error in errors
    ]


def prepare(case: Case, how: Treatment, folder: Path) -> Volume:
    """One case; from what is stored where that is there."""
    path = folder / key_of(case, how)
    heads = {name: known(path.with_name(f"{path.name}-{name}")) for name in wanted(case)}
    if any(head is None for head in heads.values()):
        _store(case, how, path)
        heads = {name: known(path.with_name(f"{path.name}-{name}")) for name in heads}
    found = {name: Stored(path.with_name(f"{path.name}-{name}"), head) for name, head in heads.items() if head is not None}
    image = found["image"]
    return Volume(case, image, found.get("label"), found.get("mask"), case.patient or image.about["patient"] or case.name)


def wanted(case: Case) -> list[str]:
    """What a case stores."""
    return ["image", *(["label"] if case.label else []), *(["mask"] if case.mask else [])]


def key_of(case: Case, how: Treatment) -> str:
    """Names what is stored of a case: whatever its files or its treatment were, others have another one."""
    parts = [image for image in (*case.images, case.label, case.mask) if image is not None]
    told: list[Any] = [VERSION, sorted(asdict(how).items()), case.modality, [bool(case.label), bool(case.mask)]]
    for image in parts:
        for file in image.parts:
            try:
                stat = file.stat()
            except OSError:
                told.append(str(file))
            else:
                told.append((str(file.resolve()), stat.st_size, stat.st_mtime_ns))
    return hashlib.sha256(repr(told).encode()).hexdigest()[:24]


def read_case(case: Case, how: Treatment) -> tuple[Scan, dict[str, Scan]]:
    """The channels of a case as one scan, and its label and mask, checked and as in the files.

    Raises:
        DataError: With the file, the reason and the fix.
    """
    scans = [read_image(image, how.fourth, slices=how.slices) for image in case.images]
    first = scans[0]
    for other in scans[1:]:
        if other.voxels.shape[1:] != first.voxels.shape[1:] or not np.allclose(other.affine, first.affine, atol=0.1):
            raise DataError(
                f"{other.path}: does not lie on the grid of {first.path.name}, the first channel of {case.name}; "
                "resample it to that"
            )
    given = {"label": case.label, "mask": case.mask}
    beside = {name: read_label(image, first) for name, image in given.items() if isinstance(image, Image)}
    if len({(scan.slope, scan.intercept) for scan in scans}) > 1:
        scans = [scan.with_voxels(scan.voxels * np.float32(scan.slope) + np.float32(scan.intercept)) for scan in scans]
        first = Scan(first.path, first.voxels, first.affine, 1.0, 0.0, first.modality, first.patient)
    voxels = np.concatenate([scan.voxels for scan in scans])
    return first.with_voxels(voxels), beside


def _store(case: Case, how: Treatment, path: Path) -> None:
    scan, beside = read_case(case, how)
    original = asdict(Grid.of(scan))
    parts = {"image": scan, **beside}
    for name, part in parts.items():
        if how.orientation is not None:
            part = turned(part, how.orientation)
        if how.spacing is not None:
            part = resampled(part, how.spacing, label=name != "image")
        about = {"affine": part.affine.tolist(), "spacing": part.spacing, "original": original}
        about |= _measured(case, part) if name == "image" else {"classes": int(part.voxels.max()) + 1, "points": _points(part)}
        write(path.with_name(f"{path.name}-{name}"), part.voxels, about)


def read_truth(case: Case) -> Integer[np.ndarray, "x y z"]:
    """The segmentation of a case as it is in its file."""
    assert case.label is not None
    like = read_image(case.images[0], "first", slices=True)
    return read_label(case.label, like).voxels[0]


def _points(label: Scan) -> list[list[list[int]]]:
    """Some places of each class that is there, but for the background."""
    random = np.random.default_rng(0)
    found = []
    for number in np.unique(label.voxels)[1:] if label.voxels.min() == 0 else np.unique(label.voxels):
        places = np.argwhere(label.voxels[0] == number)
        found.append(places[random.permutation(len(places))[:POINTS]].tolist())
    return found


def _measured(case: Case, scan: Scan) -> dict[str, Any]:
    stride = max(round((scan.voxels[0].size / SAMPLED) ** (1 / 3)), 1)
    few = scan.voxels[:, ::stride, ::stride, ::stride].astype(np.float32)
    quantiles = np.percentile(few.reshape(len(few), -1), QUANTILES, axis=1).T
    lowest = float(scan.voxels.min()) * scan.slope + scan.intercept
    modality = case.modality or scan.modality or ("CT" if lowest <= AIR else "")
    return {
        "modality": modality.upper(),
        "patient": scan.patient,
        "slope": scan.slope,
        "intercept": scan.intercept,
        "quantiles": quantiles.tolist(),
        "mean": few.mean((1, 2, 3)).tolist(),
        "std": few.std((1, 2, 3)).tolist(),
        "box": _box(scan, quantiles),
    }


def _box(scan: Scan, quantiles: Float[np.ndarray, "channels quantiles"]) -> list[list[int]]:
    """Where the body is: from the first to the last plane with voxels a tenth above the darkest, along each axis."""
    low, high = quantiles[0][0], quantiles[0][-1]
    body: Shaped[np.ndarray, "x y z"] = scan.voxels[0] > low + 0.1 * (high - low)
    box = []
    for axis in range(3):
        inside = np.flatnonzero(body.any(tuple(other for other in range(3) if other != axis)))
        box.append([int(inside[0]), int(inside[-1]) + 1] if len(inside) else [0, body.shape[axis]])
    return box
