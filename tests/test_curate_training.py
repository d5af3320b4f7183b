"""Curation across packages: a table's rows are curated, and training reads those that were kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import manyviews as mv
from manyviews.curate.keep import read_keep, write_keep
from manyviews.errors import DataError, UserError


def test_training_reads_what_was_kept(table: Path, tmp_path: Path) -> None:
    from manyviews.curate.run import curate
    from manyviews.recipe.load import load_recipe

    recipe = load_recipe("tabular/t_jepa", [f"data.path={table}"])
    source, found = curate(recipe, "embedding", 0.3)
    assert 0 < len(found.kept) < 240
    write_keep(tmp_path / "keep.json", found, source, {"measure": "embedding"})
    assert read_keep(tmp_path / "keep.json", source).tolist() == found.kept.tolist()
    train = {"steps": 2, "batch_size": len(found.kept) + 1, "folder": str(tmp_path), "keep": str(tmp_path / "keep.json")}
    with pytest.raises(UserError, match=f"is more than the {len(found.kept)} training samples"):
        mv.pretrain("tabular/t_jepa", data={"path": str(table)}, train=train, track=None, evaluate=[])
    with pytest.raises(DataError, match=r"has no pictures of its samples to compare; .*--measure embedding"):
        curate(recipe, "dhash")
    told = json.loads((tmp_path / "keep.json").read_text())
    (tmp_path / "keep.json").write_text(json.dumps({**told, "samples": 7}))
    with pytest.raises(DataError, match=r"is of other data \(7 samples"):
        read_keep(tmp_path / "keep.json", source)
    (tmp_path / "keep.json").write_text("[]")
    with pytest.raises(DataError, match=r"is not a file of `manyviews curate`"):
        read_keep(tmp_path / "keep.json", source)
    with pytest.raises(DataError, match=r"cannot be read"):
        read_keep(tmp_path / "none.json", source)
