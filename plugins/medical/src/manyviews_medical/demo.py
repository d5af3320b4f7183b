"""The demo on volumes that it makes itself: bodies with organs."""

from __future__ import annotations

from pathlib import Path

from manyviews.demo import Demo
from manyviews_medical.phantom import write_phantoms


def prepare(folder: Path) -> Demo:
    """Phantoms are written into the folder: a body, a liver, a spine, a kidney; whether the liver is large is what a
    probe is asked."""
    manifest = write_phantoms(folder / "scans", 48)
    data = {"path": str(manifest), "target": "liver", "crop": [48, 48, 40], "crops": 2, "cache": str(folder / "cache")}
    return Demo(
        "medical/mae",
        f"48 made-up bodies of 24 patients, half of them with a large liver: {manifest}",
        {
            "data": data,
            "encoder": {"width": 96, "depth": 4, "heads": 4},
            "train": {"epochs": 30, "batch_size": 8, "threads": 1, "watch_every": 50},
            "evaluate": [{"task": "linear_probe", "every": 100}, {"task": "effective_rank"}, {"task": "spread"}],
        },
    )
