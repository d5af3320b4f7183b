"""A folder of scans at any depth, segmentations beside them or in folders of their own, DICOM series folder by folder."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from manyviews.errors import DataError
from manyviews_medical.case import Case, Image
from manyviews_medical.reading.dicom import find_series, is_dicom
from manyviews_medical.reading.read import stem_of, suffix_of

LABEL = re.compile(r"[-_.](label|labels|labelmap|seg|segmentation|gt)$", re.IGNORECASE)
MASK = re.compile(r"[-_.](anon|anonmask|anonymi[sz]ation|deface|defacemask)$", re.IGNORECASE)
IMAGE = re.compile(r"[-_.](image|img|im)$", re.IGNORECASE)
LABEL_FOLDERS = re.compile(r"^(labels?|labels?[tT][rs]|seg(mentation)?s?|gt)$", re.IGNORECASE)


def read(root: Path) -> list[Case]:
    """Every volume below `root` that is not the segmentation of another one."""
    files = sorted(path for path in root.rglob("*") if not any(part.startswith(".") for part in path.relative_to(root).parts))
    return _volumes(root, files) + _series(root, [path for path in files if is_dicom(path)])


def alone(path: Path) -> list[Case]:
    """One file, with the segmentation that lies beside it."""
    return [case for case in _volumes(path.parent, sorted(path.parent.iterdir())) if case.images[0].path == path] or [
        Case(stem_of(path), (Image(path),))
    ]


def _volumes(root: Path, files: list[Path]) -> list[Case]:
    volumes = [path for path in files if suffix_of(path) and path.is_file()]
    labels = [path for path in volumes if LABEL.search(stem_of(path)) or _among_labels(path.relative_to(root))]
    masks = [path for path in volumes if MASK.search(stem_of(path))]
    beside = {*labels, *masks}
    images = [path for path in volumes if path not in beside]
    label_of, mask_of = _pairs(images, labels, "segmentation"), _pairs(images, masks, "mask")
    return [_case(root, path, label_of.get(path), mask_of.get(path)) for path in images]


def _among_labels(path: Path) -> bool:
    return any(LABEL_FOLDERS.match(part) for part in path.parent.parts)


def _pairs(images: list[Path], beside: list[Path], what: str) -> dict[Path, Path]:
    """Image -> what lies beside it. Folders of patients may all hold files of the same names: of the images that have a name
    in common with a segmentation it is that one's in whose folder, or in the likeliest of whose folders, it lies."""
    by_key: dict[str, list[Path]] = defaultdict(list)
    for image in images:
        by_key[_key(image)].append(image)
    found: dict[Path, Path] = {}
    for path in beside:
        near = {image: _shared(image.parent.parts, path.parent.parts) for image in by_key[_key(path)]}
        owners = [image for image, folders in near.items() if folders == max(near.values())]
        if len({image.parent for image in owners}) > 1:
            raise DataError(f"{path}: is the {what} of {owners[0]} or of {owners[1]}? say so in a manifest (CSV)")
        for image in owners:
            if image in found:
                raise DataError(
                    f"{image}: has two {what}s, {found[image]} and {path}; move one away, or name one in a manifest (CSV)"
                )
            found[image] = path
    return found


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """Folders that two files have in common, from the root down and then from the files up: `scans/a/x` and `labels/a/x` have
    `a`."""
    down = _alike(one, other)
    return down + _alike(one[down:][::-1], other[down:][::-1])


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _key(path: Path) -> str:
    """What an image and its segmentation have in common: the name without the word that tells them apart."""
    stem = stem_of(path)
    for word in (LABEL, MASK, IMAGE):
        stem = word.sub("", stem)
    return stem


def _case(root: Path, path: Path, label: Path | None, mask: Path | None) -> Case:
    name = str(path.relative_to(root).with_name(stem_of(path)))
    return Case(name, (Image(path),), Image(label) if label else None, Image(mask) if mask else None)


def _series(root: Path, files: list[Path]) -> list[Case]:
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for path in files:
        by_folder[path.parent].append(path)
    cases = []
    for folder, members in by_folder.items():
        found = find_series(folder, members)
        name = str(folder.relative_to(root)) if folder != root else folder.name
        cases += [Case(name if len(found) == 1 else f"{name}#{number}", (image,)) for number, image in enumerate(found)]
    return cases
