"""BIDS: `sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz`, participants in a table, derivatives apart."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from manyviews_medical.case import Case, Image
from manyviews_medical.layouts.folder import LABEL
from manyviews_medical.reading.read import stem_of, suffix_of

SUBJECT = re.compile(r"(?:^|[_/])(sub-[A-Za-z0-9]+)")
VOLUMES = re.compile(r"_(T1w|T2w|T2starw|FLAIR|PD|PDw|inplaneT1|inplaneT2|angio|T1map|T2map|UNIT1|ct|CT|pet)$")
ASIDE = ("derivatives", "sourcedata", "code", "phenotype")


def claims(folder: Path) -> bool:
    """Folders of subjects."""
    return any(path.is_dir() and path.name.startswith("sub-") for path in folder.iterdir())


def read(folder: Path) -> list[Case]:
    """Anatomical volumes; labels and masks of removed faces are those of `derivatives`, or beside them."""
    every = [path for path in sorted(folder.rglob("*")) if suffix_of(path) and path.is_file()]
    beside = {_without_word(stem_of(path)): path for path in every if LABEL.search(_plain(stem_of(path)))}
    masks = {_entities(stem_of(path)): path for path in every if stem_of(path).endswith(("_defacemask", "_desc-deface_mask"))}
    people = _participants(folder)
    cases = []
    for path in every:
        stem = stem_of(path)
        if path.relative_to(folder).parts[0] in ASIDE or not VOLUMES.search(stem):
            continue
        found = SUBJECT.search(stem)
        subject = found[1] if found else path.relative_to(folder).parts[0]
        label = beside.get(_entities(stem))
        mask = masks.get(_entities(stem))
        modality = "CT" if stem.lower().endswith("_ct") else ""
        columns = {**people.get(subject, {}), "suffix": stem.rpartition("_")[2]}
        cases.append(
            Case(
                stem, (Image(path),), Image(label) if label else None, Image(mask) if mask else None, subject, modality, columns
            )
        )
    return cases


def _plain(stem: str) -> str:
    """`_dseg` and `_label-lesion_mask` are segmentations, too."""
    return re.sub(r"(_dseg|_label-[A-Za-z0-9]+_mask)$", "_seg", stem)


def _without_word(stem: str) -> str:
    return _entities(LABEL.sub("", _plain(stem)))


def _entities(stem: str) -> str:
    """Subject, session and run: what a volume and its segmentation share."""
    return "_".join(part for part in stem.split("_") if part.startswith(("sub-", "ses-", "run-")))


def _participants(folder: Path) -> dict[str, dict[str, str]]:
    path = folder / "participants.tsv"
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {
        row["participant_id"]: {key: value for key, value in row.items() if value is not None}
        for row in rows
        if "participant_id" in row
    }
