"""What a source found, in a few lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Shaped

from manyviews_satellite.reading.scene import Scene
from manyviews_satellite.spec import TileSpec


def describe(
    scenes: Sequence[Scene], splits: Shaped[np.ndarray, "tiles"], spec: TileSpec, skipped: Sequence[str], unseen: Sequence[str]
) -> str:
    """Scenes, tiles, bands, coordinate systems, and what was left out."""
    systems = Counter("no place on the ground" if scene.grid.crs is None else _short(scene.grid.crs) for scene in scenes)
    shares = ", ".join(f"{name} {count:,}" for name, count in Counter(splits.tolist()).items())
    size = spec.windows.tile
    lines = [
        f"{len(scenes):,} scenes in {', '.join(f'{name} ({count})' for name, count in systems.items())}",
        f"{len(splits):,} tiles of {size} x {size} pixels{_ground(spec)}: {shares}",
        f"bands {', '.join(band.label for band in spec.bands)}",
    ]
    lines += [f"too large to look for valid pixels beforehand: {name}" for name in unseen]
    return "\n".join(lines + [f"left out: {reason}" for reason in skipped])


def _ground(spec: TileSpec) -> str:
    return "" if spec.metres is None else f" of {spec.metres:g} m"


def _short(crs: str) -> str:
    return crs.partition('"')[2].partition('"')[0] or crs
