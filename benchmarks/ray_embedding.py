"""Rows embedded by one process and by Ray on this machine: whether the bytes are the same, and rows a second.

python benchmarks/ray_embedding.py [--quick] [--rows 5000000]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from manyviews.engine.pretrain import pretrain

ROWS, QUICK = 5_000_000, 20_000
AT_ONCE = 100_000
MAIN = "from manyviews.cli.main import main; main()"


def write(path: Path, rows: int) -> None:
    """Ten numbers and a category, in row groups."""
    rng, writer = np.random.default_rng(0), None
    for start in range(0, rows, AT_ONCE):
        count = min(AT_ONCE, rows - start)
        table = pa.table(
            {f"x{column}": rng.normal(size=count).astype(np.float32) for column in range(10)}
            | {"kind": rng.choice(list("abcd"), count)}
        )
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rows", type=int, default=ROWS)
    options = parser.parse_args()
    rows = QUICK if options.quick else options.rows
    if importlib.util.find_spec("ray") is None:
        print(json.dumps({"skipped": "Ray is not installed"}))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "few.parquet", 2000)
        write(folder / "rows.parquet", rows)
        train = {"steps": 5, "epochs": None, "batch_size": 64, "folder": str(folder / "runs"), "device": "cpu"}
        few = {"path": str(folder / "few.parquet")}
        run = pretrain("tabular/masked_values", data=few, train=train, evaluate=[], track=None)
        found: dict[str, float | bool | str] = {"rows": rows, "version": version("ray")}
        for engine in ("local", "ray"):
            words = ["embed", str(run.folder), str(folder / "rows.parquet"), "-o", str(folder / f"{engine}.npy")]
            begun = time.monotonic()
            subprocess.run(
                [sys.executable, "-c", MAIN, *words, "--batch-size", "1024", "--engine", engine],
                check=True,
                env=os.environ | {"RAY_ADDRESS": "local"},
                stdout=subprocess.DEVNULL,
            )
            found[engine] = rows / (time.monotonic() - begun)
        found["same bytes"] = (folder / "local.npy").read_bytes() == (folder / "ray.npy").read_bytes()
        print(
            f"{rows:,} rows: local {found['local']:,.0f} a second, Ray {found['ray']:,.0f}; same bytes: {found['same bytes']}"
        )
        print(json.dumps(found))


if __name__ == "__main__":
    main()
