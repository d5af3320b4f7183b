"""nnU-Net's raw layout: `imagesTr/case_0000.nii.gz`, one file a channel, and `labelsTr/case.nii.gz`."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from manyviews.errors import DataError
from manyviews_medical.case import Case, Image
from manyviews_medical.layouts.msd import described, modality_of
from manyviews_medical.reading.read import stem_of, suffix_of

CHANNEL = re.compile(r"^(?P<case>.+)_(?P<channel>\d{4})$")


def claims(folder: Path) -> bool:
    """Images named by case and channel, and no list of them."""
    images = folder / "imagesTr"
    listed = (folder / "dataset.json").is_file() and isinstance(described(folder).get("training"), list)
    return not listed and images.is_dir() and any(CHANNEL.match(stem_of(path)) for path in images.iterdir() if suffix_of(path))


def read(folder: Path) -> list[Case]:
    """The cases of `imagesTr`, then those of `imagesTs`."""
    modality = ""
    if (folder / "dataset.json").is_file():
        told = described(folder)
        modality = modality_of(told.get("channel_names", told.get("modality", {})))
    return [case for part in ("Tr", "Ts") for case in _part(folder, part, modality)]


def _part(folder: Path, part: str, modality: str) -> list[Case]:
    images, labels = folder / f"images{part}", folder / f"labels{part}"
    if not images.is_dir():
        return []
    channels: dict[str, dict[int, Path]] = defaultdict(dict)
    for path in sorted(images.iterdir()):
        if suffix_of(path) and (named := CHANNEL.match(stem_of(path))):
            channels[named["case"]][int(named["channel"])] = path
    by_stem = {stem_of(path): path for path in labels.iterdir()} if labels.is_dir() else {}
    most = max((len(files) for files in channels.values()), default=0)
    cases = []
    for name, files in channels.items():
        if sorted(files) != list(range(most)):
            raise DataError(
                f"{images}: case {name} has the channels {sorted(files)}, others have 0 to {most - 1}; add or remove files"
            )
        label = Image(by_stem[name]) if name in by_stem else None
        cases.append(Case(name, tuple(Image(files[number]) for number in sorted(files)), label, modality=modality))
    return cases
