"""Which label each tile has, and which split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from jaxtyping import Shaped

from manyviews.errors import DataError
from manyviews.labelling import TextKind, labels_of_text
from manyviews.source import Labels
from manyviews.splits import VALID_SHARE, check_shares, draw_splits
from manyviews_satellite.reading.scene import Scene
from manyviews_satellite.survey import Survey
from manyviews_satellite.targets import POINTS, Map, Points, read_map, read_points

SAID = {"train": "train", "training": "train", "valid": "valid", "validation": "valid", "val": "valid", "dev": "valid",
        "test": "test", "testing": "test"}  # fmt: skip
"""What folders of splits are called."""


@dataclass(frozen=True)
class Target:
    """What the recipe says is to be predicted."""

    name: str
    kind: TextKind
    places: Points | Map | None
    """None: the folder that a scene's file lies in."""


def read_target(
    path: str, kind: TextKind, column: str | None, stride: int, ignore: Sequence[float], names: Mapping[int, str]
) -> Target:
    """The target of a recipe: `folder`, a file of points or a map.

    Raises:
        DataError: There is no such file, or it is neither.
    """
    if path == "folder":
        return Target("folder", kind, None)
    place = Path(path).expanduser()
    if not place.is_file():
        raise DataError(
            f"data.target: there is no file {place}; name points (.gpkg, .geojson, .csv), a map (.tif, .npy) or `folder`"
        )
    if place.suffix.lower() in POINTS:
        return Target(column or place.stem, kind, read_points(place, column))
    return Target(place.stem, kind, read_map(place, stride, ignore, names))


def labels_of(target: Target, found: Survey) -> Labels:
    """The label of every tile."""
    if target.places is None:
        folders = [scene.label for scene in found.scenes]
        texts = np.array(folders, dtype=object)[found.tiles.scene]
    else:
        return labels_of_text(target.name, target.places.texts(found.labels), target.kind)
    return labels_of_text(target.name, texts.tolist(), target.kind)


def split_tiles(
    scenes: Sequence[Scene],
    scene: Shaped[np.ndarray, "tiles"],
    blocks: Shaped[np.ndarray, "tiles"],
    splits: str | Mapping[str, float] | None,
    labelled: bool,
    seed: int,
) -> Shaped[np.ndarray, "tiles"]:
    """The split of every tile: as folders say, or whole blocks drawn by shares (with labels .1 valid, .2 test by default)."""
    own = np.full(len(scene), "train", dtype="<U5")
    shares: Mapping[str, float] = {"valid": VALID_SHARE, "test": 0.2} if labelled else {}
    if splits == "folder":
        own = np.array([_said(each) for each in scenes])[scene]
        shares = {} if (own == "valid").any() or not labelled else {"valid": VALID_SHARE}
    elif isinstance(splits, str):
        raise DataError(f"data.splits: {splits!r} is neither `folder` nor shares such as {{valid: 0.1, test: 0.2}}")
    elif splits is not None:
        check_shares(splits)
        shares = splits
    return draw_splits(own, shares, np.zeros(len(own), np.int64), blocks, seed)


def _said(scene: Scene) -> str:
    told = next((SAID[part.lower()] for part in reversed(PurePath(scene.name).parts[:-1]) if part.lower() in SAID), None)
    if told is None:
        raise DataError(f"{scene.name}: data.splits=folder, and none of its folders is called {', '.join(SAID)}")
    return told
