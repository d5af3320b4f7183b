"""Which rows train, validate and test, from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from manyviews.errors import DataError
from manyviews.splits import NAMES, Codes
from manyviews_tabular.reading import read_csv


def read_splits(path: str, rows: int) -> Codes:
    """The `split` column of a CSV file, as numbers in `NAMES`: train, valid or test for each row of the table, in its order."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise DataError(f"data.splits: there is no file {path}")
    table = read_csv(file)
    if "split" not in table.column_names:
        raise DataError(f"{path}: there is no column 'split' (it has: {', '.join(table.column_names)})")
    found = table["split"]
    if len(found) != rows:
        raise DataError(
            f"{path}: {len(found):,} splits for {rows:,} rows; give one of train, valid, test for each row of the table"
        )
    if wrong := sorted(set(map(str, pc.unique(found).to_pylist())) - set(NAMES)):
        raise DataError(f"{path}: {wrong[0]!r} is no split; expected train, valid or test")
    return pc.index_in(found, value_set=pa.array(NAMES, pa.large_string())).to_numpy().astype(np.uint8)
