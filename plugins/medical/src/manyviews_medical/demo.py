"""The demo on scans that it makes itself: bodies with organs, read as slices, since volumes take longer than a demo has."""

from __future__ import annotations

from pathlib import Path

from manyviews.demo import Demo
from manyviews_medical.phantom import write_phantoms

SCANS = 200


def prepare(folder: Path) -> Demo:
    """Phantoms are written into the folder: a body, a liver, a spine, a kidney; whether the liver is large is what a
    probe is asked, of the slice through the body's middle."""
    manifest = write_phantoms(folder / "scans", SCANS, (32, 32, 32), pose=0.15)
    splits = {"valid": 0.2, "test": 0.3}
    data = {"path": str(manifest), "target": "liver", "crop": [32, 32], "crops": 1, "splits": splits}
    return Demo(
        "medical/simclr",
        f"Slices of {SCANS} made-up scans of {SCANS // 2} patients, half of them with a large liver: {manifest}",
        {
            "data": {**data, "cache": str(folder / "cache")},
            "encoder": {"channels": 12, "width": 64, "levels": 3},
            "views": {"moves": {"flip": [], "rotate": 10.0, "scale": [0.9, 1.1]}},
            "objective": {"temperature": 0.1},
            "optim": {"lr": 2.0e-3},
            "train": {"steps": 300, "epochs": None, "batch_size": 50, "threads": 1, "watch_every": 100},
            "evaluate": [{"task": "linear_probe", "every": 100}, {"task": "effective_rank"}, {"task": "spread"}],
        },
    )
