"""The Medical Segmentation Decathlon's layout: `dataset.json` with a list of images and labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from manyviews.errors import DataError
from manyviews_medical.case import Case, Image
from manyviews_medical.reading.read import stem_of


def claims(folder: Path) -> bool:
    """Whether the folder says so."""
    return (folder / "dataset.json").is_file() and isinstance(described(folder).get("training"), list)


def described(folder: Path) -> dict[str, Any]:
    """The folder's `dataset.json`."""
    path = folder / "dataset.json"
    try:
        told: dict[str, Any] = json.loads(path.read_text())
    except ValueError as error:
        raise DataError(f"{path}: is no valid JSON: {error}") from error
    if not isinstance(told, dict):
        raise DataError(f"{path}: expected an object with `training`, or with `channel_names`")
    return told


def read(folder: Path) -> list[Case]:
    """The images of `training`, then those of `test`, which have no labels."""
    told = described(folder)
    modality = modality_of(told.get("modality", {}))
    cases = []
    for place, item in enumerate(told["training"] + list(told.get("test", []))):
        where = f"{folder / 'dataset.json'}, item {place}"
        entry = item if isinstance(item, dict) else {"image": item}
        if not isinstance(entry.get("image"), str):
            raise DataError(f"{where}: has no `image`; expected {{image: …, label: …}}")
        image = folder / entry["image"]
        label = Image(folder / entry["label"]) if "label" in entry else None
        cases.append(Case(stem_of(image), (Image(image),), label, modality=modality, where=where))
    return cases


def modality_of(channels: dict[str, Any]) -> str:
    """`CT` or `MR` where all channels are, as the two layouts write them (`MRI`, `T1w`, `CT`)."""
    names = {str(name).upper() for name in channels.values()}
    if names == {"CT"}:
        return "CT"
    return "MR" if names and not names & {"CT", "PET"} else ""


def classes_of(folder: Path) -> tuple[str, ...]:
    """Names of the labels, as either layout writes them; empty where nothing says."""
    if not (folder / "dataset.json").is_file():
        return ()
    labels = described(folder).get("labels", {})
    if not isinstance(labels, dict):
        return ()
    numbers = {int(k): str(v) for k, v in labels.items() if str(k).isdigit()} or {
        v: str(k) for k, v in labels.items() if isinstance(v, int)
    }
    return tuple(numbers.get(number, str(number)) for number in range(max(numbers, default=-1) + 1))
