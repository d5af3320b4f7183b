"""A folder of scans at any depth, segmentations beside them or in folders of their own, DICOM series folder by folder."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

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
    labels = {_key(path): path for path in volumes if LABEL.search(stem_of(path)) or LABEL_FOLDERS.match(path.parent.name)}
    masks = {_key(path): path for path in volumes if MASK.search(stem_of(path))}
    beside = {*labels.values(), *masks.values()}
    return [_case(root, path, labels, masks) for path in volumes if path not in beside]


def _key(path: Path) -> str:
    """What an image and its segmentation have in common: the name without the word that tells them apart."""
    stem = stem_of(path)
    for word in (LABEL, MASK, IMAGE):
        stem = word.sub("", stem)
    return stem


def _case(root: Path, path: Path, labels: dict[str, Path], masks: dict[str, Path]) -> Case:
    label, mask = labels.get(_key(path)), masks.get(_key(path))
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
