"""Small data under the names that the documentation has for them: `<!-- docs: data NAME -->` in a page asks for them.

Each is made of what its domain is tried on (`Domain.trial`), in a second or two.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from manyviews.plugins.registry import registry
from manyviews.testing.subject import Subject


def trial(domain: str, kind: str, folder: Path) -> dict[str, Any]:
    """A kind of trial data of a domain, in a folder; the recipe sections that read them."""
    (plugin,) = [plugin for plugin in registry().plugins if plugin.name == domain]
    folder.mkdir(parents=True, exist_ok=True)
    return dict(Subject.of(plugin.entry_point).trial.data[kind](folder))


def tables(folder: Path) -> dict[str, Any]:
    """people.csv with the label column income, new_people.csv without it, table.csv with the column label, new_rows.csv."""
    from manyviews_tabular.testing import small_table

    frame = small_table()
    people = small_table(1200).rename(columns={"label": "income", "kind": "zip"})
    people.to_csv(folder / "people.csv", index=False)
    people.to_parquet(folder / "people.parquet", index=False)
    for name in ("new_people.csv", "new.csv"):
        people.drop(columns="income").head(9).to_csv(folder / name, index=False)
    frame.to_csv(folder / "table.csv", index=False)
    frame.drop(columns="label").head(9).to_csv(folder / "new_rows.csv", index=False)
    return {}


def graphs(folder: Path) -> dict[str, Any]:
    """Cora/: one graph with labelled nodes, as tables of edges and nodes."""
    import numpy as np
    import pandas as pd

    place, random = folder / "Cora", np.random.default_rng(0)
    place.mkdir()
    group, ends = np.arange(300) % 3, random.integers(0, 300, (2, 8000))
    near = (group[ends[0]] == group[ends[1]]) | (random.random(8000) < 0.1)
    pd.DataFrame({"source": ends[0][near], "target": ends[1][near]}).to_csv(place / "edges.csv", index=False)
    words = {f"word{number}": random.normal(size=300) + (group == number) for number in range(3)}
    pd.DataFrame({"id": np.arange(300), **words, "label": [f"topic {number}" for number in group]}).to_csv(
        place / "nodes.csv", index=False
    )
    return {"data": {"splits": {"valid": 0.25, "test": 0.25}, "target": "label"}, "train": {"batch_size": 1}}


def speech(folder: Path) -> dict[str, Any]:
    """recordings/ and new_recordings/: folders of sounds."""
    trial("speech", "equal", folder / "new_recordings")
    return trial("speech", "equal", folder / "recordings")


def satellite(folder: Path) -> dict[str, Any]:
    """scenes/ and new_scenes/: folders of GeoTIFFs."""
    trial("satellite", "scenes", folder / "new_scenes")
    wanted = trial("satellite", "scenes", folder / "scenes")
    for name in ("scene.tif", "new_scene.tif"):
        shutil.copy(next((folder / "scenes").rglob("*.tif")), folder / name)
    return wanted


def medical(folder: Path) -> dict[str, Any]:
    """scans/ and new_scans/: folders of volumes, new_scan.nii.gz one of them; labelled/scans.csv: a manifest with
    segmentations, of 30 patients; Task10_Organs/, Dataset010_Organs/, bids/: the first of them as other tools have them."""
    from manyviews_medical.phantom import write_phantoms

    write_phantoms(folder / "labelled", 60, (20, 20, 18))
    trial("medical", "volumes", folder / "new_scans")
    shutil.copy(folder / "new_scans" / "case000_image.nii.gz", folder / "new_scan.nii.gz")
    volumes_in_layouts(folder / "labelled", folder)
    wanted = trial("medical", "volumes", folder / "scans")
    data = {name: value for name, value in wanted["data"].items() if name != "target"}  # a folder says nothing to predict
    return {**wanted, "data": data}


def volumes_in_layouts(given: Path, folder: Path) -> None:
    """Four labelled volumes in the layouts of other tools."""
    names = ("background", "body", "liver", "spine", "kidney")
    msd, nnunet, bids = folder / "Task10_Organs", folder / "Dataset010_Organs", folder / "bids"
    listed = []
    for number in range(4):
        image, label = (given / f"case{number:03d}_{kind}.nii.gz" for kind in ("image", "label"))
        subject = f"sub-{number:02d}"
        for source, place in (
            (image, msd / "imagesTr" / f"case{number}.nii.gz"),
            (label, msd / "labelsTr" / f"case{number}.nii.gz"),
            (image, nnunet / "imagesTr" / f"case{number}_0000.nii.gz"),
            (label, nnunet / "labelsTr" / f"case{number}.nii.gz"),
            (image, bids / subject / "anat" / f"{subject}_T1w.nii.gz"),
            (label, bids / "derivatives" / "organs" / subject / "anat" / f"{subject}_dseg.nii.gz"),
        ):
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, place)
        listed.append({part: f"{part}sTr/case{number}.nii.gz" for part in ("image", "label")})
    told = {"modality": {"0": "MRI"}, "labels": {str(n): name for n, name in enumerate(names)}, "training": listed}
    (msd / "dataset.json").write_text(json.dumps(told))
    told = {"channel_names": {"0": "T1"}, "labels": {name: n for n, name in enumerate(names)}, "file_ending": ".nii.gz"}
    (nnunet / "dataset.json").write_text(json.dumps(told))


def names_python(page: str) -> dict[str, Any]:
    """What snippets of a page take from their surroundings: a DataFrame X with labels y, PyG's data."""
    if page in ("docs/tables.md", "plugins/tabular/README.md", "README.md"):
        from manyviews_tabular.testing import small_table

        frame = small_table()
        x = frame.drop(columns="label")
        return {"X": x, "X_labelled": x, "y": frame["label"], "frame": x}
    if page == "docs/graphs.md":
        import torch
        from torch_geometric.data import Data

        random = torch.Generator().manual_seed(0)
        edges = torch.randint(0, 300, (2, 900), generator=random)
        return {"data": Data(x=torch.randn(300, 6, generator=random), edge_index=edges, y=torch.arange(300) % 3)}
    return {}


def tracked(folder: Path) -> dict[str, Any]:
    """No data: the page's runs are tracked in an MLflow store, which costs seconds, since it shows what is done with one."""
    return {"tracked": True}


SETS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "tables": tables, "graphs": graphs, "speech": speech, "satellite": satellite, "medical": medical,
    "tracked": tracked,
}  # fmt: skip
"""Name -> puts the data into a folder, and returns what of a recipe such small data want (a tile's size)."""
OF_PAGES = {"README.md": "tables", "plugins/tabular/README.md": "tables", "docs/finetune.md": "tables"}


def data_of(page: str) -> list[str]:
    """What a page has without asking: one that is about a domain has that domain's."""
    plain = page.removeprefix("docs/").removeprefix("plugins/").removesuffix("/README.md").removesuffix(".md")
    name = OF_PAGES.get(page, plain)
    return [name] if name in SETS else []
